"""Everything on the host that reads what may come from anywhere, as functions of any bytes."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import both
import importing
from arrays import build_network
from mtjkit_core.errors import MtjkitError
from mtjkit_export.files import complete_lines
from mtjkit_export.formats import mtjb_reader as reader
from mtjkit_export.formats.safetensors import load_fixed
from mtjkit_host.boards.catalog import read_board
from mtjkit_host.campaign import description as spec
from mtjkit_host.campaign import records as results
from mtjkit_host.datasets import cifar10
from mtjkit_host.datasets.idx import read_idx
from mtjkit_host.datasets.load import load_dataset
from mtjkit_host.datasets.photo import load_photo
from mtjkit_host.datasets.pictures import find_pictures
from mtjkit_host.mtj.cell_file import load_cell
from mtjkit_host.mtj.fit import read_measurements
from mtjkit_host.mtj.pulse_plan import read_plan
from mtjkit_host.runs.parse_options import options_from_json
from mtjkit_host.runs.run_file import RunFile
from mtjkit_host.runs.run_file_lines import RUN_FILE_VERSION, read_head

_MEMORY = Path("/dev/shm")  # quicker than a disk, where it is there
_TEMPORARY = tempfile.TemporaryDirectory(
    prefix="mtjkit-fuzz-", dir=_MEMORY if _MEMORY.is_dir() else None
)
FOLDER = Path(_TEMPORARY.name)
RUN_HEAD = {"mtjkit_run": RUN_FILE_VERSION, "count": 3, "classes": 2}
LONGEST_MESSAGE = 1000
"""Characters: an error is one line that a terminal can show."""


def _file(name: str, data: bytes) -> Path:
    path = FOLDER / name
    path.write_bytes(data)
    return path


def model_file(data: bytes) -> None:
    """The host's reader of model files."""
    reader.load(_file("net.mtjb", data))


def campaign(data: bytes) -> None:
    """A campaign's TOML."""
    spec.load_campaign(_file("mine.toml", data))


def cell_toml(data: bytes) -> None:
    """A device file in TOML."""
    load_cell(_file("cell.toml", data))


def cell_json(data: bytes) -> None:
    """A device file in JSON."""
    load_cell(_file("cell.json", data))


def run_file(data: bytes) -> None:
    """A run file: its head, its options, its results. What is refused is left as it was."""
    path = _file("run.jsonl", data)
    with contextlib.suppress(MtjkitError):
        options_from_json(read_head(path).get("options"), str(path))
    try:
        with RunFile(path, RUN_HEAD) as run:
            assert all(0 <= i < 3 and len(r.scores) == 2 for i, r in run.results.items())
        whole = path.read_bytes()
        assert data.startswith(whole) or whole.startswith(data)  # only a torn line is cut off
    except MtjkitError:
        assert path.read_bytes() == data
        raise


def campaign_results(data: bytes) -> None:
    """A campaign's results."""
    for line in complete_lines(io.BytesIO(data), "results.jsonl"):
        results.parse(line, "results.jsonl")


def photo(data: bytes) -> None:
    """A photograph, PNG or JPEG."""
    load_photo(_file("photo.png", data), (4, 4, 3))


def arrays_file(data: bytes) -> None:
    """An .npz file of images and labels."""
    load_dataset(_file("data.npz", data))


def idx_file(data: bytes) -> None:
    """An idx file of images, compressed or not."""
    read_idx(_file("images-idx3-ubyte", data))


def labels_table(data: bytes) -> None:
    """A table of pictures and labels."""
    find_pictures(_file("labels.csv", data))


def cifar10_file(data: bytes) -> None:
    """A file in CIFAR-10's binary layout."""
    cifar10.load_test(_file("test_batch.bin", data))


def checkpoint(data: bytes) -> None:
    """A trainer's checkpoint: the JSON record up to the first zero, then the tensor file."""
    from mtjkit_host.campaign.nets import training_note
    from mtjkit_host.train.state import load_net

    record, _, tensors = data.partition(b"\0")
    _file("last.json", record)
    _file("t.safetensors", tensors)
    training_note(FOLDER)
    load_net(FOLDER)


def fixed_net(data: bytes) -> None:
    """A fixed-point net."""
    load_fixed(_file("fixed.safetensors", data))


def plan_toml(data: bytes) -> None:
    """A plan of pulse widths."""
    read_plan(_file("plan.toml", data))


def board_toml(data: bytes) -> None:
    """The description of a board."""
    read_board(_file("board.toml", data))


def measurements(data: bytes) -> None:
    """A table of measured failures."""
    read_measurements(_file("measured.csv", data))


def npy_file(data: bytes) -> None:
    """An array of images."""
    load_dataset(_file("x.npy", data))


def cifar100_file(data: bytes) -> None:
    """A file in CIFAR-100's binary layout."""
    load_dataset(_file("test.bin", data))


def _import(name: str, data: bytes) -> None:
    """A network of another tool: read, lowered, checked on two images."""
    importing.import_bytes(name, data, FOLDER)


TARGETS: dict[str, Callable[[bytes], object]] = {
    **dict(both.TARGETS),
    "model-file": model_file,
    "arrays": build_network,
    "campaign": campaign,
    "cell-toml": cell_toml,
    "cell-json": cell_json,
    "run-file": run_file,
    "results": campaign_results,
    "photo": photo,
    "npz": arrays_file,
    "idx": idx_file,
    "labels": labels_table,
    "cifar10": cifar10_file,
    "checkpoint": checkpoint,
    "fixed": fixed_net,
    "plan": plan_toml,
    "board": board_toml,
    "measurements": measurements,
    "npy": npy_file,
    "cifar100": cifar100_file,
    **{name: partial(_import, name) for name in importing.TARGETS},
}

_MIB = 1 << 20
BOUNDS = {
    "model": _MIB // 16,
    "frames": _MIB // 64,
    "messages": _MIB // 16,  # the first of a kind has its fields named
    "model-file": 2 * _MIB,
    "arrays": 4 * _MIB,
    "campaign": 2 * _MIB,
    "cell-toml": 2 * _MIB,
    "cell-json": 2 * _MIB,
    "run-file": 2 * _MIB,
    "results": _MIB,
    "photo": 2 * _MIB,
    "npz": 8 * _MIB,
    "idx": 8 * _MIB,
    "labels": 2 * _MIB,
    "cifar10": _MIB,
    "checkpoint": 6 * _MIB,
    "fixed": _MIB,
    "plan": 2 * _MIB,
    "board": 2 * _MIB,
    "measurements": 2 * _MIB,
    "npy": 8 * _MIB,
    "cifar100": _MIB,
    **dict.fromkeys(importing.TARGETS, 64 * _MIB),  # sums that can occur, for all channels
}
"""Bytes that Python and numpy may allocate for an input, beside twice the input's own size."""


def attempt(name: str, data: bytes) -> bool:
    """Feed one input; True if it was taken. Anything but one of our errors passes through."""
    try:
        TARGETS[name](data)
    except MtjkitError as error:
        text = str(error)
        assert text.isprintable(), text[:2000]
        assert 0 < len(text) <= LONGEST_MESSAGE, text[:2000]
        return False
    return True
