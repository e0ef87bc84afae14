"""What this machine offers: processors, memory, a stderr that may be gone, mtjkit's version."""

from __future__ import annotations

import contextlib
import os
import sys

from mtjkit_export.texts import printable


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def version() -> str:
    """The installed version of mtjkit; "not installed" in a checkout that is not installed."""
    from importlib import metadata  # here, because it takes a while to load

    try:
        return metadata.version("mtjkit")
    except metadata.PackageNotFoundError:
        return "not installed"


def memory_bytes() -> int:
    """The machine's memory; 4 GiB where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 4 << 30


def tell(message: str) -> None:
    """Print a message on stderr, if there is one and somebody still reads there."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            print(printable(message), file=sys.stderr, flush=True)
