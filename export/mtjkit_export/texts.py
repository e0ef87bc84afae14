"""Text that came from outside, as a terminal may show it."""

from __future__ import annotations

import json
from typing import Any


def printable(text: str) -> str:
    r"""A text without what moves a cursor or hides letters: characters such as escapes, \x1b.

    Line ends and tabs stay, and so do bytes of a file's name that are not text (surrogates).
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in "\n\t" or "\ud800" <= c <= "\udfff" else ascii(c)[1:-1]
        for c in text
    )


def brief(text: object, longest: int = 200) -> str:
    """A text of a file or of a library as part of a message: one printable line, cut if long."""
    line = " ".join(str(text).split())
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line[: longest + 1])
    return line if len(line) <= longest else line[:longest] + "..."


def file_name(text: str) -> str:
    """A name of a file's content as part of a file's name: letters, digits, -, _ and dots within.

    So what a file from elsewhere calls its net names no folder and no hidden file.
    """
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in text)
    return name.lstrip(".") or "_"


def holds_half_letters(value: Any) -> bool:
    r"""Whether a JSON value has half of a surrogate pair (\ud800), which no file can hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
