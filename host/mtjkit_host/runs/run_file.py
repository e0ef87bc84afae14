"""A run's results on disk, appended as they arrive: what is there need not be computed again.

A line that a dying process left unfinished is cut off when the run goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from mtjkit_core.chip_errors import ChipErrors
from mtjkit_core.errors import FormatError, MtjkitError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import WriteErrors
from mtjkit_export.files import LineFile, to_line
from numpy.typing import NDArray

from mtjkit_host.link.image_result import ImageResult
from mtjkit_host.runs.options import as_lists
from mtjkit_host.runs.run_file_lines import (
    RUN_FILE_VERSION,
    check_head,
    read_kernel,
    read_result,
)


def identity(
    model: bytes, images: NDArray[np.int8], count: int, errors: WriteErrors
) -> dict[str, Any]:
    """What makes two runs the same: model, images, how many, how the memory is written.

    The kernel takes no part: all kernels give the same bits.
    """
    chip = errors.parts() if isinstance(errors, ChipErrors) else []
    return {
        "mtjkit_run": RUN_FILE_VERSION,
        "model_sha256": hashlib.sha256(model).hexdigest(),
        "images_sha256": hashlib.sha256(images.tobytes()).hexdigest(),
        "count": count,
        "classes": Model(model).classes,
        "seed": errors.seed,
        "kind": errors.kind,
        "limits": as_lists(errors.limits),
        "weight_limits": as_lists(errors.weight_limits),
        **({"chip": [part.hex() for part in chip]} if chip else {}),
    }


class RunFile:
    """The results of one run; a context. Results are in the file when `append` returns.

    Only one process at a time has a run file open. A run that ends in an error before it has any
    result leaves no file.

    Args:
        path: the file. It is made if it is not there.
        head: what `identity` says, and whatever else the caller wants to find again.

    Attributes:
        results: what an earlier part of the run left, by index.
        kernel, weight_bits: the kernel that began the run, its weight bits written and wrong.

    Raises:
        ConfigError: the file cannot be opened or written, another process has it open, or another
            run lies in it.
        FormatError: it is not a run file, of another version, or damaged.
    """

    def __init__(self, path: str | Path, head: dict[str, Any]) -> None:
        self.path = Path(path)
        self.results: dict[int, ImageResult] = {}
        self.kernel = ""
        self.weight_bits = (0, 0)
        self._file = LineFile(self.path, f"{self.path}: another process is at work on this run")
        try:
            self._resume(head)
        except BaseException:
            with contextlib.suppress(MtjkitError):  # the first error is the one to tell
                self._file.close()
            with contextlib.suppress(OSError):
                if not self.path.stat().st_size:
                    self.path.unlink()
            raise

    def _resume(self, head: dict[str, Any]) -> None:
        good = 0
        for line in self._file.lines():
            if not good:
                check_head(self.path, line, head)
            elif not self.kernel:
                self.kernel, self.weight_bits = read_kernel(self.path, line)
            else:
                result = read_result(self.path, line, head["count"], head["classes"])
                self.results[result.index] = result
            good += len(line)
        if not good and not to_line(head).startswith(self._file.start()):
            raise FormatError(f"{self.path}: not a run file, or damaged")
        self._file.cut(good)
        if not good:
            self._file.append(head, safe=False)

    def begin(self, kernel: str, weight_bits: tuple[int, int]) -> None:
        """Say which kernel begins the run, and its weight bits written and wrong.

        Raises:
            ConfigError: it cannot be written.
        """
        self.kernel, self.weight_bits = kernel, weight_bits
        self._file.append({"kernel": kernel, "w": weight_bits}, safe=False)

    def append(self, result: ImageResult) -> None:
        """Add a result.

        Raises:
            ConfigError: it cannot be written: the disk is full, say.
        """
        what = {
            "i": result.index,
            "s": result.scores.tolist(),
            "b": result.counts.tolist(),
            "us": result.device_us,
        }
        self._file.append(what, safe=False)
        self.results[result.index] = result

    def close(self) -> None:
        """Make sure that the results survive a power cut, and close the file."""
        self._file.close()

    def __enter__(self) -> RunFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
            return
        with contextlib.suppress(MtjkitError):  # the first error is the one to tell
            self.close()
        if isinstance(error, MtjkitError) and not self.results:
            self.path.unlink(missing_ok=True)
