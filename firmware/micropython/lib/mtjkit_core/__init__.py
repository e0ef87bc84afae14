"""What host and device share: packed bits, the model format, the memory, frames, errors.

Runs unchanged on CPython 3.10+ and on MicroPython. Imports nothing but what both have.
"""

import sys


def forget(name: str) -> None:
    """Forget a module of this package, so that its memory is free until it is imported again."""
    if sys.modules.pop(__name__ + "." + name, None):
        delattr(sys.modules[__name__], name)
