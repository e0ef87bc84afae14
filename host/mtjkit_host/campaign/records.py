"""The results file: one JSON object a line, appended as the points come in.

A line is on the disk before the next one is begun, so a kill loses the points being computed and
nothing else. What a kill tears is the last line, and that is dropped when the file is opened
again. Lines are found by their point's id: a line of another net, seed or number of images is
somebody else's and is left alone.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from mtjkit_core.errors import ConfigError, FormatError

Record = dict[str, Any]
"""One point's line: the fields of `points.Point`, ``id``, ``seed``, and what was measured."""


class ResultsFile:
    """A results file open for appending; one process at a time.

    Raises ConfigError when it cannot be opened or another process has it open, FormatError when
    a line other than a torn last one is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "a+b")  # noqa: SIM115  (closed by __exit__)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written ({error.strerror})") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise ConfigError(
                f"{path}: a campaign is writing to it; wait for it, or use another folder"
            ) from None
        try:
            self.records = self._read()
        except FormatError:
            self._file.close()
            raise

    def _read(self) -> dict[str, Record]:
        self._file.seek(0)
        data = self._file.read()
        end = data.rfind(b"\n") + 1
        if end < len(data):  # torn by a kill
            self._file.truncate(end)
        return parse(data[:end], str(self.path))

    def append(self, record: Record) -> None:
        """Add a point's line; it is on the disk when this returns."""
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        try:
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be written ({error.strerror})") from error
        self.records[record["id"]] = record

    def __enter__(self) -> ResultsFile:
        """Return the file itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file and let others open it."""
        self._file.close()


def parse(data: bytes, name: str) -> dict[str, Record]:
    """Return the records of whole lines by id; raises FormatError, naming the damaged line."""
    records = {}
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            record = json.loads(line)
            if not isinstance(record["id"], str):
                raise TypeError
            records[record["id"]] = record
        except (ValueError, KeyError, TypeError, RecursionError):
            raise FormatError(
                f"{name}: line {number} is damaged; remove it to compute its point again"
            ) from None
    return records


def of_points(records: dict[str, Record], ids: Sequence[str]) -> list[Record]:
    """Return the records of those points that have one, in the points' order."""
    return [records[key] for key in ids if key in records]
