"""What this machine offers: processors, memory, a stderr that may be gone, mtjkit's version."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import NoReturn

from mtjkit_export.texts import printable

INTERRUPTED = 130
"""A process's status after Ctrl-C."""


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


def leave_on_interrupt() -> None:
    """Have Ctrl-C end this process at once, with status 130 and a word instead of a traceback.

    For the time in which nothing has begun, or all is done. A process that ignores Ctrl-C (nohup)
    goes on to do so.
    """
    with contextlib.suppress(ValueError):  # not the main thread
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _leave)


def leave(status: int) -> NoReturn:
    """End this process as soon as what is registered with atexit is done: files and streams.

    The interpreter would also take every module apart, which lasts two seconds where torch is
    loaded.
    """
    atexit._run_exitfuncs()
    os._exit(status)


def _leave(number: int, frame: object) -> None:
    with contextlib.suppress(OSError):
        os.write(2, b"interrupted\n")  # not through a stream that may be in the middle of a line
    os._exit(INTERRUPTED)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Have Ctrl-C raise KeyboardInterrupt in here, in spite of `leave_on_interrupt`."""
    leaving = signal.getsignal(signal.SIGINT) is _leave
    if leaving:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if leaving:
            signal.signal(signal.SIGINT, _leave)


@contextlib.contextmanager
def interrupts_kept() -> Iterator[None]:
    """Ctrl-C waits until this ends; processes and threads that begin meanwhile never get it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def tell(message: str) -> None:
    """Print a message on stderr, if there is one and somebody still reads there."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            print(printable(message), file=sys.stderr, flush=True)
