"""The input of a network: bytes, what the graph makes of each, and the int8 that stand for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mtjkit_core.errors import ConfigError
from numpy.typing import NDArray

from mtjkit_export.importers.graph import Array, refuse
from mtjkit_export.nets.pixels import PixelRule, PixelTables

RULES = (PixelRule(), PixelRule(512, 255, 510))
"""Rules that are looked for in a table: p - 128, and FINN's 256 p / 255 - 128."""

SCALES = ("bytes", "unit", "signed", "int8")


@dataclass(frozen=True)
class InputScale:
    """What number the graph is given for a byte."""

    kind: str = "unit"
    """bytes: p; unit: p / 255; signed: p / 127.5 - 1; int8: the data are int8 and stay as they
    are."""
    mean: tuple[float, ...] = ()
    """Subtracted after scaling, one for all channels or one for each."""
    std: tuple[float, ...] = ()
    """Divided by after that."""

    def values(self, channels: int) -> NDArray[np.float32]:
        """Numbers for the bytes 0 to 255 (int8: for -128 to 127), (channels, 256), float32."""
        p = np.arange(256).astype(np.float32)
        if self.kind == "unit":
            p = p / np.float32(255)
        elif self.kind == "signed":
            p = p / np.float32(127.5) - np.float32(1)
        elif self.kind == "int8":
            p = p - np.float32(128)
        table = np.broadcast_to(p, (channels, 256))
        for numbers, divide in ((self.mean, False), (self.std, True)):
            if not numbers:
                continue
            if len(numbers) not in (1, channels):
                raise ConfigError(
                    f"{len(numbers)} means or standard deviations for {channels} channels"
                )
            column = np.array(numbers, np.float32)[:, None]
            table = table / column if divide else table - column
        return table


def parse_scale(text: str | None) -> InputScale:
    """What `--input` says: bytes, unit, signed, int8 or mean=...,std=...

    Raises:
        ConfigError: it is none of these.
    """
    if text is None:
        return InputScale()
    if text in SCALES:
        return InputScale(text)
    fields: dict[str, tuple[float, ...]] = {}
    try:
        for part in text.split(","):
            name, _, numbers = part.partition("=")
            fields[name] = tuple(float(n) for n in numbers.split("/"))
    except ValueError:
        fields = {"": ()}
    good = set(fields) <= {"mean", "std"} and all(
        np.isfinite(n) for ns in fields.values() for n in ns
    )
    if not good or 0 in fields.get("std", ()):
        raise ConfigError(
            f"--input {text}: {', '.join(SCALES)} or mean=A/B/C,std=A/B/C (of p / 255)"
        )
    return InputScale("unit", fields.get("mean", ()), fields.get("std", ()))


@dataclass(frozen=True)
class Coded:
    """Input values x = step * (sign * q) + offset, q an int8 or a bit."""

    q: NDArray[np.int64]
    """(channels, 256): the int8 for each byte."""
    step: float
    """Size of a step of q."""
    offset: NDArray[np.float64]
    """(channels,)."""
    bits: bool
    """Every q is -1 or 1."""
    rounded: bool = False
    """The values were rounded to this."""


def code(table: Array, raw: bool, rounds: bool = False) -> Coded:
    """Find whole numbers that stand for the values of each byte.

    Args:
        table: float32 (channels, 256), the value for each byte.
        raw: the data are int8 and no rule is applied to them.
        rounds: round values that need more than 8 bits, rather than raise; 0 stays 0.

    Raises:
        ConfigError: no int8 can stand for them.
    """
    if not np.isfinite(table).all():
        raise refuse("the input becomes values that are not finite numbers")
    x = table.astype(np.float64)
    low, high = x.min(axis=1), x.max(axis=1)
    if (low == high).all():
        raise refuse(
            "every byte of the input gives one value: --input says what the network takes "
            "(bytes, unit, signed, int8 or mean=...,std=...)"
        )
    if ((x == low[:, None]) | (x == high[:, None])).all():
        half = (high - low)[low != high] / 2
        if (half == half[0]).all():
            q = np.where(x == high[:, None], 1, -1)
            if (low != high).all() and (not raw or (q == _positive()).all()):
                middle = np.array((high + low) / 2, np.float64)
                return Coded(q, float(half[0]), middle, True)
    step = _step(x)
    if step is None:
        if raw or not rounds:
            raise refuse(
                "the input's values are not multiples of one step, the same in all channels: they "
                "need more than 8 bits; --check DATA allows to round them"
            )
        step = float(np.float32(np.abs(x).max() / 127))
        return Coded(np.rint(x / step).astype(np.int64), step, np.zeros(len(x)), False, True)
    if raw:
        offset = x[:, 128].copy()  # of the number 0
        q = np.broadcast_to(np.arange(-128, 128), x.shape)
        if not _near(x, q, step, offset):
            raise refuse(
                "--input int8 is for a network that takes int8 as they are, or their signs (> 0): "
                "this one changes them first; give bytes, --input bytes"
            )
        return Coded(q, step, offset, False)
    candidates = (np.zeros(len(x)), np.full(len(x), x.min() + 128 * step), low + 128 * step)
    for offset in candidates:
        whole = np.rint(2 * offset / step) / 2
        offset = np.where(np.abs(whole - offset / step) < 1e-3, whole * step, offset)
        q = np.rint((x - offset[:, None]) / step).astype(np.int64)
        if q.min() >= -128 and q.max() <= 127 and _near(x, q, step, offset):
            return Coded(q, step, offset.astype(np.float32).astype(np.float64), False)
    raise refuse("the input's values are not int8 times one factor: they need more than 8 bits")


def _positive() -> NDArray[np.int64]:
    return np.where(np.arange(-128, 128) > 0, 1, -1)


def _near(x: Array, q: Array, step: float, offset: Array) -> bool:
    return bool((np.abs(step * q + offset[:, None] - x) <= 1e-3 * step).all())


def _step(x: NDArray[np.float64]) -> float | None:
    """The greatest step of which all differences within channels are multiples, as float32.

    None if they are multiples of none in 8 bits.
    """
    values = np.unique(x - x.min(axis=1, keepdims=True))
    range_ = values[-1]
    gaps = np.diff(values)
    least = float(gaps[gaps > 1e-5 * range_].min())
    for part in (1, 2, 3):
        count = round(range_ / (least / part))
        step = float(np.float32(range_ / count))
        if count <= 255 and (np.abs(values / step - np.rint(values / step)) < 1e-2).all():
            return step
    return None


def rule_for(coded: Coded, raw: bool) -> PixelRule | PixelTables | None:
    """The shortest rule of a model file that gives q for each byte."""
    if raw:
        return None
    for rule in RULES:
        if (rule.apply(np.arange(256, dtype=np.uint8)) == coded.q).all():
            return rule
    if coded.bits and (coded.q == coded.q[0]).all():
        first = coded.q[0]
        at = int((first > 0).argmax())
        if at and (first[at:] > 0).all() and (first[:at] < 0).all():
            return PixelRule(129, 0, at)  # above 128 where p >= at
    return PixelTables(coded.q.astype(np.int8))
