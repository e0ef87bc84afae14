"""A run file's lines: what they say, and every way in which they may be wrong.

One JSON object a line. The first tells what is run, the next the kernel that took it and its weight
bits; each other is one image's result:

    {"mtjkit_run": 1, "model_sha256": ..., "images_sha256": ..., "count": ..., "classes": ..., ...}
    {"kernel": "viper", "w": [written, wrong]}
    {"i": 17, "s": [3, -5, ...], "b": [written, toggled, wrong], "us": 4021}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.messages import KERNELS
from mtjkit_export.files import complete_lines, file_errors

from mtjkit_host.link.stream import ImageResult

VERSION = 1


def read_head(path: str | Path) -> dict[str, Any]:
    """The first line of a run file: what was run.

    Raises:
        ConfigError: the file cannot be read.
        FormatError: it is not a run file.
    """
    with file_errors(path, "read"), open(path, "rb") as file:
        line = next(complete_lines(file, str(path)), b"")
    head = _object(Path(path), line)
    if head.get("mtjkit_run") != VERSION:
        raise FormatError(f"{path}: not a run file of version {VERSION}")
    return head


def _object(path: Path, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: not a run file, or damaged") from error
    if not isinstance(value, dict):
        raise FormatError(f"{path}: not a run file, or damaged")
    return value


def check_head(path: Path, line: bytes, head: dict[str, Any]) -> None:
    """Raise ConfigError unless the first line is that of the run that `head` tells."""
    there = _object(path, line)
    if there.get("mtjkit_run") != VERSION:
        raise FormatError(f"{path}: not a run file of version {VERSION}")
    for key in head:
        if there.get(key) != head[key]:
            raise ConfigError(f"{path}: another run lies there (its {key} differs)")


def read_kernel(path: Path, line: bytes) -> tuple[str, tuple[int, int]]:
    """The kernel, and the weight bits written and wrong; FormatError if it says no such thing."""
    value = _object(path, line)
    bits = value.get("w")
    if value.get("kernel") not in KERNELS or not _whole(bits, 2, 0, 1 << 62):
        raise _damaged(path, line)
    return value["kernel"], (value["w"][0], value["w"][1])


def _damaged(path: Path, line: bytes) -> FormatError:
    return FormatError(f"{path}: damaged: {line[:60].decode('ascii', 'replace')!r}")


def read_result(path: Path, line: bytes, count: int, classes: int) -> ImageResult:
    """One image's result, of a run of so many images; FormatError if it is none."""
    value = _object(path, line)
    scores, bits = value.get("s"), value.get("b")
    index: Any = value.get("i")
    us: Any = value.get("us")
    good = (
        _whole([index], 1, 0, count - 1)
        and _whole([us], 1, 0, 1 << 62)
        and _whole(scores, classes, -(1 << 31), (1 << 31) - 1)
        and _whole(bits, 3, 0, 1 << 62)
    )
    if not good:
        raise _damaged(path, line)
    return ImageResult(index, np.array(scores, np.int32), np.array(bits, np.int64), us)


def _whole(values: Any, count: int, low: int, high: int) -> bool:
    """True for a list of `count` whole numbers from `low` to `high`."""
    return (
        isinstance(values, list)
        and len(values) == count
        and all(type(v) is int and low <= v <= high for v in values)
    )
