"""Command-line strings to values: each mistake is one line that names the option."""

from __future__ import annotations

import math
import re
import reprlib
from pathlib import Path

from mtjkit_core.errors import ConfigError
from mtjkit_export.files import check_writable

Given = str | float | Path | None
"""An option as typed, or as a Python program writes it; None where it was not given."""

_WHOLE = re.compile(r"[0-9]{1,20}", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?", re.ASCII)


def shown(value: object, longest: int = 40) -> str:
    """A value as typed or read, quoted and cut to a length that leaves the message one line."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = longest
    text = short.repr(value).replace("\n", " ")
    return text if len(text) <= 2 * longest else text[: 2 * longest] + "..."


def _text(value: object) -> str:
    """A value as it would be typed; a number of a Python program keeps all its digits."""
    return value if isinstance(value, str) else "" if isinstance(value, bool) else str(value)


def number(option: str, value: object) -> float:
    """A finite decimal number, as text or as a number; not nan, not inf, no words.

    Raises:
        ConfigError: the value is something else.
    """
    text = _text(value)
    if not _NUMBER.fullmatch(text) or math.isinf(float(text)):
        raise ConfigError(f"{option} takes a number, not {shown(value)}")
    return float(text)


def rate(option: str, value: object, name: str = "an error rate") -> float:
    """A number from 0 to 1: an error rate, or what messages call by another name.

    Raises:
        ConfigError: the value is not a number, or lies outside.
    """
    text = _text(value)
    if not _NUMBER.fullmatch(text) or not 0 <= float(text) <= 1:
        raise ConfigError(f"{option} is {name} from 0 to 1, not {shown(value)}")
    return abs(float(text))  # -0 is 0


def whole(option: str, value: object, low: int, high: int) -> int:
    """A whole number from `low` to `high`, as text or as a number.

    Raises:
        ConfigError: the value is something else.
    """
    text = _text(value)
    if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
        raise ConfigError(f"{option} takes a whole number from {low} to {high}, not {shown(value)}")
    return int(text)


def choice(option: str, value: object, choices: tuple[str, ...]) -> str:
    """One of some words.

    Raises:
        ConfigError: the value is another word.
    """
    if not isinstance(value, str) or value not in choices:
        raise ConfigError(f"{option} is one of {', '.join(choices)}, not {shown(value)}")
    return value


def path(option: str, value: object) -> Path:
    """A path, as text or as a path.

    Raises:
        ConfigError: the value is something else, or empty.
    """
    if not isinstance(value, (str, Path)) or not str(value) or "\0" in str(value):
        raise ConfigError(f"{option} takes a path, not {shown(value)}")
    return Path(value)


def output_path(option: str, value: object) -> Path:
    """A file to be written at the end of a long run: what can be refused is refused before it.

    Args:
        option: what messages begin with.
        value: the file as typed.

    Raises:
        ConfigError: no file can be written there.
    """
    target = path(option, value)
    if target.is_dir():
        raise ConfigError(f"{option} takes a file to write, {target} is a folder")
    try:
        check_writable(target)
    except ConfigError as error:
        raise ConfigError(f"{option}: {error}") from None
    return target


def image_shape(option: str, text: str) -> tuple[int, int, int]:
    """Read height x width x channels, such as 28x28x1; without channels there is one.

    Raises:
        ConfigError: the text says something else.
    """
    sides = [int(side) if side.isdecimal() else 0 for side in text.lower().split("x")]
    if len(sides) == 2:
        sides.append(1)
    if len(sides) != 3 or not all(0 < side < 1 << 16 for side in sides):
        raise ConfigError(f"{option} {shown(text)}: height x width x channels, such as 28x28x1")
    return sides[0], sides[1], sides[2]
