"""The networks that a campaign simulates, behind one interface, and where they are found."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import NO_ERRORS, WriteErrors
from mtjkit_export.formats.mtjb_reader import load
from mtjkit_export.formats.mtjb_writer import encode
from mtjkit_export.formats.safetensors import encode_fixed, load_fixed

from mtjkit_host.datasets.images import to_input
from mtjkit_host.paths import CARRIED, OTHER_NAMES
from mtjkit_host.simulate import binary_native as native
from mtjkit_host.simulate import compile
from mtjkit_host.simulate.binary_numpy import Twin
from mtjkit_host.simulate.simulator import AnyTwin, write_weights

TRAINED = Path("build/train")
"""Where the trainer puts its run folders."""

Maps = list[npt.NDArray[Any]]
"""Stored maps of the hidden layers, (n, elements) integers each; any scale and offset."""


class Simulator(Protocol):
    """A network that runs through the memory."""

    bits: int
    """Of a weight and of an activation."""
    sha256: str
    """Of the net's file."""
    weight_bits: int
    """Bits of all weights."""
    map_bits: int
    """Feature-map bits written for one image."""
    arithmetic: str
    """How sums are computed, and with what error."""

    def corrupted(self, errors: WriteErrors) -> tuple[Simulator, int, int]:
        """Write the weights once, with errors; also the bits written and wrong."""
        ...

    def run(
        self,
        images: npt.NDArray[np.uint8],
        first: int = 0,
        errors: WriteErrors = NO_ERRORS,
        maps: list[Maps] | None = None,
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """Classify images; scores (n, classes), counts of all images.

        ``first`` is the first image's index in the data; ``maps`` receives what was stored.
        """
        ...


class BinarySimulator:
    """A binary model on the twin, bit-exact with the firmware."""

    bits = 1

    def __init__(self, model: Model) -> None:
        self._model = model
        # One thread: a campaign keeps every core busy with a point of its own.
        self._twin: AnyTwin = native.NativeTwin(model, 1) if compile.available() else Twin(model)
        self.sha256 = hashlib.sha256(model.data).hexdigest()
        self.weight_bits = model.weight_bits
        self.map_bits = model.map_bits
        self.arithmetic = f"integers, bit-exact with the firmware (twin: {self._twin.kernel})"

    def corrupted(self, errors: WriteErrors) -> tuple[Simulator, int, int]:
        """See `Simulator.corrupted`."""
        data, written, wrong = write_weights(self._model, errors)
        return BinarySimulator(Model(data, check_crc=False)), written, wrong

    def run(
        self,
        images: npt.NDArray[np.uint8],
        first: int = 0,
        errors: WriteErrors = NO_ERRORS,
        maps: list[Maps] | None = None,
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """See `Simulator.run`; with ``maps``, at most 256 images."""
        indices = np.arange(first, first + len(images), dtype=np.uint32)
        inputs = to_input(self._model, images)
        trace: Any = None if maps is None else []
        scores, counts = self._twin.run(inputs, indices, errors, trace)
        if maps is not None:
            layers = zip(self._model.layers, trace, strict=False)
            maps.append([_bits(words, layer.out_channels) for layer, words in layers])
        return scores, counts.sum(axis=0)


class FixedSimulator:
    """A fixed-point net (`mtjkit_export.nets.fixed`)."""

    def __init__(self, twin: Any) -> None:
        self._twin = twin
        self.bits = twin.net.bits
        self.sha256 = hashlib.sha256(encode_fixed(twin.net)).hexdigest()
        self.weight_bits = twin.net.weight_bits
        self.map_bits = twin.net.map_bits
        self.arithmetic = f"integer codes, every sum exact (twin: {twin.engine})"

    def corrupted(self, errors: WriteErrors) -> tuple[Simulator, int, int]:
        """See `Simulator.corrupted`."""
        twin, written, wrong = self._twin.corrupted(errors)
        return FixedSimulator(twin), written, wrong

    def run(
        self,
        images: npt.NDArray[np.uint8],
        first: int = 0,
        errors: WriteErrors = NO_ERRORS,
        maps: list[Maps] | None = None,
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """See `Simulator.run`."""
        scores, counts = self._twin.run(images, first, errors, maps)
        return scores, counts


def find_net(models: Sequence[str], folders: Sequence[Path]) -> Path:
    """Return the file or run folder of a campaign's net.

    Args:
        models: each a path, or a name that is looked for in `folders`: ``<name>.mtjb``,
            ``<name>.safetensors``, or a trainer's run folder ``<name>``. The first that is there.
        folders: in this order; after them the trainer's and that of the carried nets.

    Raises:
        ConfigError: there is none.
    """
    folders = [*folders, TRAINED, CARRIED]
    for model in models:
        for folder in (Path(), *folders):
            for path in (folder / model, folder / f"{model}.mtjb", folder / f"{model}.safetensors"):
                if os.path.isfile(path) or os.path.isfile(path / "last.json"):
                    return path
        if model in OTHER_NAMES:
            return CARRIED / f"{OTHER_NAMES[model]}.mtjb"
    places = ", ".join(os.path.relpath(folder) for folder in folders)
    raise ConfigError(f"no {' or '.join(models)} in {places}; train it, or name its file")


def training_note(path: Path) -> str:
    """Say how far a trainer's run folder has come; nothing for a file."""
    try:
        state = json.loads((path / "last.json").read_bytes())
        done, planned = len(state["history"]), state["config"]["epochs"]
        return f"{done} epochs of training" + ("" if done >= planned else f", {planned:d} planned")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def load_net(path: Path) -> Simulator:
    """Load a net: a .mtjb model, a fixed-point .safetensors file, or a trainer's run folder.

    Raises ConfigError or FormatError when it cannot be used.
    """
    if path.suffix == ".mtjb":
        return BinarySimulator(load(path))
    try:
        from mtjkit_host.simulate.fixed_torch import FixedTwin
        from mtjkit_host.train import load_net as load_trained
        from mtjkit_host.train.lower import fold, fold_fixed
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{path}: needs {error.name}; install the extra: pip install 'mtjkit[train]'"
        ) from None
    if path.is_file():
        return FixedSimulator(FixedTwin(load_fixed(path)))
    net = load_trained(path)
    if net.spec.binary:
        return BinarySimulator(Model(encode(fold(net))))
    return FixedSimulator(FixedTwin(fold_fixed(net)))


def _bits(words: npt.NDArray[np.uint32], channels: int) -> npt.NDArray[np.int8]:
    """Unpack a map's words into one 0 or 1 for each element, without the padding."""
    run = (channels + 31) >> 5
    octets = np.ascontiguousarray(words).reshape(len(words), -1, run).view(np.uint8)
    bits = np.unpackbits(octets, axis=-1, count=channels, bitorder="little")
    return bits.reshape(len(words), -1).astype(np.int8)
