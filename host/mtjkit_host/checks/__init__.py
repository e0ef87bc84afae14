"""Benchmarks and endurance checks of the whole product."""
