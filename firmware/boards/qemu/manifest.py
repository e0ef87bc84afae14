# ruff: noqa: F821 (MicroPython gives a manifest its functions)
freeze("modules")
