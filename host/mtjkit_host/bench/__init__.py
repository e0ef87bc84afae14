"""Benchmarks: what is compared runs interleaved in one run, and ratios and medians are given."""
