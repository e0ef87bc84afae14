"""A run file's lines: what they say, and every way in which they may be wrong.

One JSON object a line. The first tells what is run, the next the kernel that took it and its weight
bits; each other is one image's result:

    {"mtjkit_run": 2, "model_sha256": ..., "images_sha256": ..., "count": ..., "classes": ..., ...}
    {"kernel": "viper", "w": [written, wrong]}
    {"i": 17, "s": [3, -5, ...], "b": [counts in the order of write_errors.COUNTS], "us": 4021}

Version 1 had three counts and one error rate.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.messages import KERNELS
from mtjkit_core.write_errors import COUNTS
from mtjkit_export.files import complete_lines, file_errors, refuse_pipe

from mtjkit_host.link.image_result import ImageResult

RUN_FILE_VERSION = 2


def read_head(path: str | Path) -> dict[str, Any]:
    """The first line of a run file: what was run.

    Raises:
        ConfigError: the file cannot be read.
        FormatError: it is not a run file, or of another version.
    """
    refuse_pipe(path)
    with file_errors(path, "read"), open(path, "rb") as file:
        line = next(complete_lines(file, str(path)), b"")
    head = _object(Path(path), line)
    _check_version(path, head)
    return head


def _check_version(path: str | Path, head: dict[str, Any]) -> None:
    version = head.get("mtjkit_run")
    if version == RUN_FILE_VERSION:
        return
    if type(version) is int:
        raise FormatError(
            f"{path}: a run file of version {version}, this mtjkit writes version "
            f"{RUN_FILE_VERSION}: "
            "finish the run with the mtjkit that began it, or begin it anew"
        )
    raise FormatError(f"{path}: not a run file")


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
    _check_version(path, there)
    for key in head:
        if there.get(key) != head[key]:
            raise ConfigError(f"{path}: the file belongs to another run (its {key} differs)")


def read_kernel(path: Path, line: bytes) -> tuple[str, tuple[int, int]]:
    """The kernel, and the weight bits written and wrong; FormatError if they are missing."""
    value = _object(path, line)
    bits = value.get("w")
    if value.get("kernel") not in KERNELS or not _whole(bits, 2, 0, 1 << 62):
        raise _damaged(path, line)
    return value["kernel"], (value["w"][0], value["w"][1])


def _damaged(path: Path, line: bytes) -> FormatError:
    return FormatError(f"{path}: damaged: {line[:60].decode('ascii', 'replace')!r}")


def read_result(path: Path, line: bytes, count: int, classes: int) -> ImageResult:
    """One image's result, of a run of `count` images; FormatError if it is not one."""
    value = _object(path, line)
    scores, bits = value.get("s"), value.get("b")
    index: Any = value.get("i")
    us: Any = value.get("us")
    good = (
        _whole([index], 1, 0, count - 1)
        and _whole([us], 1, 0, 1 << 62)
        and _whole(scores, classes, -(1 << 31), (1 << 31) - 1)
        and _whole(bits, len(COUNTS), 0, 1 << 62)
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
