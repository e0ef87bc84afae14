"""What host and device share: packed bits, the model format, the memory, frames, errors.

Runs unchanged on CPython 3.10+ and on MicroPython. Imports nothing but what both have.
"""
