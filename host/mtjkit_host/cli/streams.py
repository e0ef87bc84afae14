"""stdout and stderr as a command needs them: whatever they are, no result is lost over them."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TextIO

from mtjkit_export.texts import printable

_NAMES = ("stdin", "stdout", "stderr")


def prepare() -> None:
    """Make stdout and stderr usable; doing it twice does no harm.

    A stream that is closed leads to the null device from now on. That keeps its number taken, too:
    otherwise the next file to be opened would get the number and the messages. A letter that a
    stream's encoding lacks is shown as its code, a backslash and digits.
    """
    for number, name in enumerate(_NAMES):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    sys.excepthook = _report
    atexit.unregister(_flush)
    atexit.register(_flush)


COLUMNS = 200
"""Columns of a table that is never squeezed, and of everything that no terminal shows."""


@dataclass(frozen=True)
class Wide:
    """Something to be printed with room for every column, whatever the terminal's width is."""

    value: Any
    """What rich draws."""


def show(*values: Any) -> str:
    """Print values on stdout: strings as they are, tables and the like as rich draws them.

    A table is squeezed into the terminal's width; in a file or a pipe nothing is cut.

    Returns:
        Empty, or why not all was printed: the disk behind stdout is full, say. A reader that has
        left (`| head`) is not an error.
    """
    try:
        for value in values:
            print(printable(value) if isinstance(value, str) else _drawn(value))
        sys.stdout.flush()
    except BrokenPipeError:
        _silence(sys.stdout)
    except (OSError, ValueError) as error:
        _silence(sys.stdout)
        return str(getattr(error, "strerror", None) or error)
    return ""


def _drawn(value: Any) -> str:
    """What rich makes of a value for stdout as it is: its width, colours and letters."""
    from rich.console import Console
    from rich.measure import Measurement
    from rich.segment import Segment, Segments
    from rich.text import Text

    wide = isinstance(value, Wide)
    value = value.value if wide else value
    console = Console()
    if wide or not console.is_terminal:
        roomy = Console(width=10_000)
        needed = Measurement.get(roomy, roomy.options, value).maximum
        console = Console(width=max(COLUMNS, needed))
    options = console.options
    if isinstance(value, Text):
        options = options.update(no_wrap=True, overflow="ignore")
    segments = [
        part if part.control else Segment(printable(part.text), part.style)
        for part in console.render(value, options)
    ]
    with console.capture() as drawn:  # rich itself would end the process where a reader has left
        console.print(Segments(segments), soft_wrap=True, end="")
    return drawn.get().removesuffix("\n")


def _silence(stream: TextIO) -> None:
    """Lead a broken stream to the null device, so that the interpreter can end without a word."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say nothing of a reader that has left in the middle of a list or of help."""
    if not isinstance(error, BrokenPipeError):
        sys.__excepthook__(kind, error, trace)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _silence(stream)
