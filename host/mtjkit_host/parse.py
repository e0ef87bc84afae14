"""Command-line strings to values: each mistake is one line that names the option."""

from __future__ import annotations

import re
import reprlib

from mtjkit_core.errors import ConfigError

_WHOLE = re.compile(r"[0-9]{1,20}", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?", re.ASCII)


def shown(value: object, longest: int = 40) -> str:
    """A value as typed or read, quoted and cut to a length that leaves the message one line."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = longest
    text = short.repr(value)
    return text if len(text) <= 2 * longest else text[: 2 * longest] + "..."


def number(option: str, text: str) -> float:
    """A finite decimal number; not nan, not inf, no words."""
    if not _NUMBER.fullmatch(text):
        raise ConfigError(f"{option} takes a number, not {shown(text)}")
    return float(text)


def rate(option: str, text: str) -> float:
    """An error rate from 0 to 1."""
    value = number(option, text)
    if not 0 <= value <= 1:
        raise ConfigError(f"{option} is an error rate from 0 to 1, not {shown(text)}")
    return abs(value)  # -0 is 0


def whole(option: str, text: str, low: int, high: int) -> int:
    """A whole number from `low` to `high`."""
    if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
        raise ConfigError(f"{option} takes a whole number from {low} to {high}, not {shown(text)}")
    return int(text)


def choice(option: str, text: str, choices: tuple[str, ...]) -> str:
    """One of some words."""
    if text not in choices:
        raise ConfigError(f"{option} is one of {', '.join(choices)}, not {shown(text)}")
    return text
