"""What host and device share: packed bits, the model format, the memory, frames, errors.

Runs unchanged on CPython 3.10+ and on MicroPython. Imports nothing but what both have.
"""

import sys


def forget(module: str) -> None:
    """Forget a module of a package, so that its memory is free until it is imported again."""
    package, _, name = module.rpartition(".")
    if sys.modules.pop(module, None):
        delattr(sys.modules[package], name)
