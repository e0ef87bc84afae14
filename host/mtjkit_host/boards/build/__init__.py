"""Builders of firmware: a module with `tools` and `build` for each MicroPython port."""
