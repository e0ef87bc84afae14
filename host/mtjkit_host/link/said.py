"""What a device says in words, made fit for a message."""

from __future__ import annotations

import re

_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\-_])")
_MOST = 120
_PROMPTS = ("", ">", ">>>", "...", "OK", "raw REPL; CTRL-B to exit", "MPY: soft reboot")


def error_of(data: bytes) -> str:
    """The error of the last traceback in a device's text; "" if there is none."""
    _, head, trace = data.rpartition(b"Traceback (most recent call last):")
    lines = re.split(rb"[\r\n]+", trace)
    errors = (line for line in lines if line.strip() and not line.startswith(b" "))
    return last_line(next(errors, b"")) if head else ""


def last_line(data: bytes) -> str:
    """The last line of a device's text that says something: of a traceback, the error.

    Args:
        data: what came; bytes that are not text are passed over.

    Returns:
        At most 120 printable characters, without terminal escapes; "" if there is no text.
    """
    text = _ESCAPES.sub("", data.decode("utf-8", "replace"))
    for line in reversed(re.split(r"[\r\n\x00-\x08\x0e-\x1a]+", text)):
        plain = "".join(c for c in line if c.isprintable() and c != "\N{REPLACEMENT CHARACTER}")
        plain = plain.strip()
        if plain not in _PROMPTS and len(plain) >= 3 and len(plain) * 2 > len(line):
            return plain if len(plain) <= _MOST else plain[: _MOST - 1] + "…"
    return ""
