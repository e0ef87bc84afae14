"""A campaign's results: what was measured at a point, and the file that keeps it.

The file has one JSON object a line, appended as the points come in. A line is on the disk before
the next one is begun, so a kill loses the points being computed and nothing else. What a kill
tears is the last line, which is dropped when the file is opened again. Lines are found by their
point's id: a line of another net, seed or number of images is somebody else's and is left alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from mtjkit_core.errors import FormatError
from mtjkit_export.files import LineFile

from mtjkit_host.campaign.points import ACCURACY, RRMSE, Point

RESULTS = "results.jsonl"
"""Name of the results file in a campaign's folder."""


@dataclass(frozen=True)
class Bits:
    """Bits of a point's memory, over all images; of the weights, which are written once."""

    written: int
    """Bits written."""
    toggled: int | None = None
    """Bits whose old value differed from the intended one; None in old files of weights."""
    wrong: int = 0
    """Bits that differ from the intended ones."""
    ones_written: int | None = None
    """Bits whose intended value was 1; None in files of older versions."""
    up_toggled: int | None = None
    """Bits whose intended value was 1 and whose old value was 0; None in older files."""


@dataclass(frozen=True)
class Record:
    """What was measured at one point; made by `mtjkit_host.campaign.measure.measure`."""

    point: Point
    """The point."""
    fail_limit: int
    """The point's error rate as the simulators' integer, round(rate * 2**32)."""
    bits: Bits
    """Bits of the memory that has the errors."""
    seconds: float
    """Wall time of the measurement."""
    correct: int | None = None
    """Images classified as labelled; None for RRMSE."""
    accuracy: float | None = None
    """Share of right answers, 0..1; None for RRMSE."""
    rrmse: float | None = None
    """RRMSE (Eq. 3); None for an accuracy, and where RRMSE is infinite."""
    rrmse_by_layer: tuple[float | None, ...] = ()
    """Share of each layer, sqrt(var(delta_l) / var(x_l)); None where infinite."""
    where: str = ""
    """What measured it, where that was not this machine: a worker of a cluster, a board."""

    @property
    def achieved_rate(self) -> float:
        """Share of the written bits that ended up wrong."""
        return self.bits.wrong / self.bits.written

    @property
    def value(self) -> float | None:
        """What the point's kind measures: the accuracy or the RRMSE."""
        return self.accuracy if self.point.kind == ACCURACY else self.rrmse

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values: one line of the results file."""
        found: dict[str, Any]
        if self.point.kind == RRMSE:
            found = {"rrmse": self.rrmse, "rrmse_by_layer": list(self.rrmse_by_layer)}
        else:
            found = {"correct": self.correct, "accuracy": self.accuracy}
        bits = {name: n for name, n in asdict(self.bits).items() if n is not None}
        return {
            "id": self.point.id,
            "seed": self.point.seed,
            **self.point.to_json(),
            **found,
            "threshold": self.fail_limit,
            "bits": bits,
            "achieved_rate": self.achieved_rate,
            "seconds": self.seconds,
            **({"where": self.where} if self.where else {}),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], point: Point) -> Record:
        """Read what `to_json` gives.

        Args:
            values: a line of the results file.
            point: the point whose id the line has.

        Raises:
            KeyError, TypeError, ValueError: something is missing, of another type or out of range.
        """
        known = {field.name for field in fields(Bits)}
        bits = Bits(**{
            name: _whole(value, 1 << 62) for name, value in values["bits"].items() if name in known
        })  # fmt: skip
        if any(n is not None and n > bits.written for n in astuple(bits)) or not bits.written:
            raise ValueError("more bits than were written")
        found: dict[str, Any] = {}
        if point.kind == ACCURACY:
            found["correct"] = _whole(values["correct"], point.images)
            found["accuracy"] = _number(values["accuracy"], 1)
            if abs(found["accuracy"] - found["correct"] / point.images) > 1e-9:
                raise ValueError("accuracy is not correct / images")
        else:
            found["rrmse"] = _number_or_none(values["rrmse"])
            by_layer = values["rrmse_by_layer"]
            found["rrmse_by_layer"] = tuple(_number_or_none(value) for value in by_layer)
        found["where"] = str(values.get("where", ""))
        fail_limit = _whole(values["threshold"], 1 << 32)
        return cls(point, fail_limit, bits, _number(values["seconds"], math.inf), **found)


def _whole(value: Any, most: int) -> int:
    """A whole number from 0 to `most`."""
    if type(value) is not int:
        raise TypeError
    if not 0 <= value <= most:
        raise ValueError("out of range")
    return value


def _number(value: Any, most: float) -> float:
    """A finite number from 0 to `most`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError
    if not 0 <= value <= most or math.isinf(value):
        raise ValueError("out of range")
    return float(value)


def _number_or_none(value: Any) -> float | None:
    return None if value is None else _number(value, math.inf)


class ResultsFile:
    """A results file open for appending; one process at a time.

    Attributes:
        lines: the file's lines as JSON values, by their point's id.

    Raises:
        ConfigError: it cannot be opened, or another process has it open.
        FormatError: a line other than a torn last one is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = LineFile(
            path, f"{path}: a campaign is writing to it; wait for it, or use another folder"
        )
        self.lines: dict[str, dict[str, Any]] = {}
        try:
            good = 0
            for number, line in enumerate(self._file.lines(), 1):
                values = parse(line, f"{path}: line {number}")
                self.lines[values["id"]] = values
                good += len(line)
            self._file.cut(good)
        except BaseException:
            self._file.close()
            raise

    def append(self, record: Record) -> None:
        """Add a record; it is on the disk when this returns.

        Raises:
            ConfigError: it cannot be written.
        """
        values = record.to_json()
        self._file.append(values)
        self.lines[values["id"]] = values

    def records(self, points: Sequence[Point]) -> list[Record]:
        """The records of those points that have one, in the points' order.

        Raises:
            FormatError: a point's line is damaged.
        """
        found = []
        for point in points:
            values = self.lines.get(point.id)
            if values is None:
                continue
            try:
                found.append(Record.from_json(values, point))
            except (KeyError, TypeError, AttributeError, ValueError, OverflowError):
                raise FormatError(
                    f"{self.path}: the line of id {point.id[:16]}... is damaged; remove it to "
                    "compute its point again"
                ) from None
        return found

    def __enter__(self) -> ResultsFile:
        """Return the file itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file and let others open it; an error inside the block is the one to tell."""
        try:
            self._file.close()
        except Exception:
            if error is None:
                raise


def parse(line: bytes, name: str) -> dict[str, Any]:
    """The JSON values of one line.

    Raises:
        FormatError: the line is damaged; the message begins with `name`.
    """
    try:
        values = json.loads(line)
        if isinstance(values["id"], str):
            return dict(values)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise FormatError(f"{name} is damaged; remove it to compute its point again")
