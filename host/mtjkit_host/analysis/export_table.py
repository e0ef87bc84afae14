"""Results as a table for other programs: CSV, or Parquet through duckdb.

A campaign has a row for each point, a run file one for each image, a run's JSON one. Structures
become columns of their own (`bits_wrong`). Lists become JSON text in CSV and stay lists in Parquet.
In CSV a text that a spreadsheet would compute gets an apostrophe in front.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.write_errors import COUNTS
from mtjkit_export.files import (
    check_writable,
    complete_lines,
    file_errors,
    refuse_pipe,
    write_atomically,
)
from mtjkit_export.needs import needs
from mtjkit_export.texts import holds_half_letters

from mtjkit_host.campaign.records import RESULTS

FORMATS = (".csv", ".parquet")
_FORMULA = tuple("=+-@\t")  # what a spreadsheet takes for the beginning of a formula
_LONGEST_OBJECT = 1 << 26  # bytes that duckdb takes for one row


def write_table(source: str | Path, output: str | Path) -> int:
    """Write the results in a file, or in a campaign's folder, as a table; returns its rows.

    Args:
        source: a campaign's folder or results file, a run file, or the JSON of a run.
        output: file to write; .csv or .parquet.

    Raises:
        ConfigError: a file cannot be read or written, or Parquet is wanted and duckdb is missing.
        FormatError: the source is none of these, or it has no results.
    """
    target = Path(output)
    if target.suffix not in FORMATS:
        raise ConfigError(f"--output {target}: the name ends in {' or '.join(FORMATS)}")
    check_writable(target)
    rows = list(read_rows(source))
    if not rows:
        raise FormatError(f"{source}: no results yet")
    write_atomically(target, _csv(rows) if target.suffix == ".csv" else _parquet(rows))
    return len(rows)


def read_rows(source: str | Path) -> Iterator[dict[str, Any]]:
    """The rows of `write_table`, one after the other; values are numbers, text, lists or None.

    A torn last line, which a kill leaves, is left out.

    Raises:
        ConfigError, FormatError: see `write_table`.
    """
    path = Path(source)
    if path.is_dir():
        path = path / RESULTS
    refuse_pipe(path)
    with file_errors(path, "read"), open(path, "rb") as file:
        if path.suffix == ".json":
            text = file.read(_LONGEST_OBJECT + 1)
            if len(text) > _LONGEST_OBJECT:
                raise FormatError(f"{path}: longer than {_LONGEST_OBJECT} bytes")
            yield _flat(_object(path, text))
            return
        objects = (_object(path, line) for line in complete_lines(file, str(path)))
        for number, values in enumerate(objects):
            if number == 0 and "mtjkit_run" in values:
                next(objects, None)  # the kernel that took it
                yield from (_image(path, image) for image in objects)
                return
            yield _flat(values)


def _image(path: Path, values: dict[str, Any]) -> dict[str, Any]:
    """A row of a run file: see mtjkit_host.runs.run_file_lines."""
    try:
        counts = dict(zip(COUNTS, values["b"], strict=False))
        return {"image": values["i"], "device_us": values["us"], **counts, "scores": values["s"]}
    except (KeyError, TypeError):
        raise FormatError(f"{path}: a line is not an image's result") from None


def _object(path: Path, text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
        if holds_half_letters(value):
            raise FormatError(f"{path}: a text is not Unicode: half of a surrogate pair")
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise FormatError(f"{path}: not a results file: a line is not a JSON object")
    return value


def _flat(values: dict[str, Any], before: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{before}{name}_"))
        else:
            flat[before + name] = value
    return flat


def _csv(rows: list[dict[str, Any]]) -> bytes:
    names = dict.fromkeys(name for row in rows for name in row)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_cell(name) for name in names])
    writer.writerows([_cell(row.get(name, "")) for name in names] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    """A value as CSV holds it; a carriage return, for readers a row's end, is a space."""
    if isinstance(value, str):
        value = value.replace("\r", " ")
        return "'" + value if value.startswith(_FORMULA) else value
    return json.dumps(value) if isinstance(value, list) else value


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    with needs("tables", "Parquet"):
        import duckdb
    with tempfile.TemporaryDirectory() as folder:
        lines, table = Path(folder) / "rows.jsonl", Path(folder) / "rows.parquet"
        lines.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        names = dict.fromkeys(name for row in rows for name in row)
        types = {name: _type([row.get(name) for row in rows]) for name in names}
        with duckdb.connect() as connection:
            connection.read_json(
                str(lines), columns=types, maximum_object_size=_LONGEST_OBJECT
            ).write_parquet(str(table))
        return table.read_bytes()


def _type(values: list[Any]) -> str:
    """The type that duckdb takes for a column: its guess makes doubles of integers from 2**63."""
    there = [value for value in values if value is not None]
    if there and all(isinstance(value, list) for value in there):
        return _type([one for value in there for one in value]) + "[]"
    kinds = {type(value) for value in there}
    if kinds == {bool}:
        return "BOOLEAN"
    if kinds == {int}:
        low, high = min(there), max(there)
        if low >= -(1 << 63) and high < 1 << 63:
            return "BIGINT"
        return "UBIGINT" if low >= 0 and high < 1 << 64 else "VARCHAR"
    return "DOUBLE" if kinds and kinds <= {int, float} else "VARCHAR"
