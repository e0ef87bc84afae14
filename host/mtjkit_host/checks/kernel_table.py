"""The pages' table of kernels, boards and counts: made of what `bench --json` wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtjkit_core.errors import ConfigError
from mtjkit_export.files import write_atomically, write_json

from mtjkit_host.boards.catalog import boards
from mtjkit_host.paths import REPOSITORY

NUMBERS = REPOSITORY / "docs/bench.json"
"""Kept in the repository: board -> kernel -> numbers, the newest of each."""
PAGES = (REPOSITORY / "README.md", REPOSITORY / "docs/boards.md")
COLUMNS = {"C": ("native",), "inline assembler": ("asm_thumb", "asm_rv32"), "viper": ("viper",)}
"""Heading -> kernels; a board has at most one of a column's."""
UNITS = {"instructions_per_32_macs": "instructions", "cycles_per_32_macs": "cycles"}
"""Name in the JSON -> what is counted for 32 multiply-accumulates."""
_BEGIN, _END = "<!-- kernels: from docs/bench.json, by invoke kernel-table -->", "<!-- /kernels -->"

Device = Mapping[str, Mapping[str, Mapping[str, float]]]


def update(files: Sequence[str]) -> list[str]:
    """Take the numbers of files that `bench --json` wrote, and rewrite the table in the pages.

    Args:
        files: JSON files; where they name a board's kernel, their numbers replace the kept ones.

    Returns:
        The table's lines.

    Raises:
        ConfigError: a file is not one of `bench --json`, or a page has lost the table's marks.
    """
    kept: dict[str, dict[str, Any]] = {}
    for path in (NUMBERS, *map(Path, files)):
        for board, kernels in read(path).items():
            kept.setdefault(board, {}).update(kernels)
    table = table_of(kept)
    pages = {page: with_table(page.read_text(), table, page.name) for page in PAGES}
    write_json(NUMBERS, {"device": kept})
    for page, text in pages.items():
        write_atomically(page, text.encode())
    return table


def read(path: Path) -> Device:
    """The devices' numbers in a file of `bench --json`: board -> kernel -> name -> number.

    Raises:
        ConfigError: it is not such a file.
    """
    wrong = f"{path}: not a file that `bench --json` wrote with the numbers of devices"
    try:
        device = json.loads(path.read_text())["device"]
        for board, kernels in device.items():
            if board not in boards():
                raise ConfigError(f"{path}: board {board!r} is unknown: `boards` lists them")
            for numbers in kernels.values():
                if not all(type(value) in (int, float) for value in numbers.values()):
                    raise ConfigError(wrong)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(wrong) from None
    return device  # type: ignore[no-any-return]


def table_of(device: Device) -> list[str]:
    """The table's lines in Markdown: a row for each board whose instructions or cycles are counted.

    Args:
        device: board -> kernel -> numbers, as `bench` gives them.
    """
    lines = ["| board | for 32 multiply-accumulates | " + " | ".join(COLUMNS) + " |"]
    lines.append("|---" * (2 + len(COLUMNS)) + "|")
    for board, spec in boards().items():
        kernels = device.get(board, {})
        for unit, counted in UNITS.items():
            cells = []
            for names in COLUMNS.values():
                found = [kernels[n][unit] for n in names if unit in kernels.get(n, {})]
                cells.append(f"{found[0]:.1f}" if found else "")
            if any(cells):
                lines.append(f"| {spec.title} | {counted} | " + " | ".join(cells) + " |")
    return lines


def with_table(text: str, table: Sequence[str], name: str) -> str:
    """A page's text with this table between its marks.

    Raises:
        ConfigError: the page, called `name`, does not have the marks once.
    """
    parts = re.split(f"({re.escape(_BEGIN)}|{re.escape(_END)})", text)
    if parts[1::2] != [_BEGIN, _END]:
        raise ConfigError(f"{name}: expected one line {_BEGIN!r} and behind it one {_END!r}")
    return "\n".join([parts[0] + _BEGIN, "", *table, "", _END + parts[4]])
