"""Small files of settings, which may come from anywhere: bounded, each mistake one short line."""

from __future__ import annotations

import codecs
import json
import sys
from pathlib import Path
from typing import Any

from mtjkit_core.errors import ConfigError
from mtjkit_export.files import refuse_pipe
from mtjkit_export.texts import holds_half_letters

from mtjkit_host.parse import shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

MAX_BYTES = 1 << 14
"""Of a file: far more than settings need."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

MAX_LINE = 1000
"""Characters of a line of TOML: a dotted key takes time and memory by the square of its length."""


def read_text(path: Path, what: str) -> str:
    """Read a text file of at most `MAX_BYTES`.

    Args:
        what: what messages call it, with its path.

    Raises:
        ConfigError: it cannot be read, is too long, or is not a text.
    """
    refuse_pipe(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{what}: cannot be read ({error.strerror or error})") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{what}: longer than {MAX_BYTES} bytes")
    return decode_text(data, what)


def decode_text(data: bytes, what: str) -> str:
    """A text of any editor: UTF-8, also as Windows marks it, or UTF-16 with its mark.

    Args:
        what: what messages call the text.

    Raises:
        ConfigError: it is not a text of this kind.
    """
    marked = next((code for mark, code in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(marked)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{what}: not UTF-8 text (line {line}); save it as UTF-8") from None
    if "\0" in text:
        raise ConfigError(f"{what}: not a text file")
    return text


def parse_table(text: str, what: str, kind: str = "TOML") -> dict[str, Any]:
    """Read the table that a TOML or JSON text is.

    Raises:
        ConfigError: the text is not valid, or not a table.
    """
    if kind == "TOML" and max(map(len, text.split("\n"))) > MAX_LINE:
        raise ConfigError(f"{what}: a line is longer than {MAX_LINE} characters")
    try:
        values: Any = json.loads(text) if kind == "JSON" else tomllib.loads(text)
        if kind == "JSON" and holds_half_letters(values):
            raise ValueError("half of a surrogate pair is not a letter")
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{what}: not valid {kind} ({shown(str(error), 100)})") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{what}: not a table of settings")
    return values
