"""Emulators of boards: a module with `check` and `command` for each."""
