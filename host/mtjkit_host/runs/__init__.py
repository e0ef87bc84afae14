"""Runs: from options to results, on any backend, kept in run files."""
