"""FINN's parameter folders (BNN-PYNQ, finnthesizer): memories of processing elements, as files.

Layer k is computed by P processing elements. `k-p-weights.bin` holds the weights of element p, and
`k-p-thres.bin` its thresholds, in words of 64 bits, little endian:

- A word of weights holds SIMD weights of one neuron, the first one in the lowest bit, 1 is +1. The
  words of a neuron follow each other, those of the element's next neuron come after them.
- Neuron n belongs to element n mod P and is its neuron n // P.
- Weights of a convolution are in the order height, width, channel; so are those of the dense layer
  after it. Columns and neurons that fill up a memory have the weight 1 and, of their input, the
  bit 0, which adds nothing.
- The activation is +1 where more than T products are +1, T the threshold. In a convolution that
  reads an image, whose values are q / 128, it is +1 where 256 times the sum of them is more than T.

SIMD is the length of the longest word, and nothing else names a size: a first row of 27 weights is
3x3 over RGB of 32 x 32 pixels, another one is dense; a row of 9 weights for each channel of the map
before it is 3x3; 2x2 pooling follows layers 1 and 3 if they are convolutions, as in FINN's CNV.
A last layer without thresholds gives its sums. `classes.txt`, if it is there, names the classes and
says which neurons of the last layer are real.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtjkit_export.files import file_errors
from mtjkit_export.importers.finn_arrays import IMAGE_SIDE, MAX_LAYERS, POOL_AFTER, graph_of_arrays
from mtjkit_export.importers.graph import Array, Graph, damaged, refuse

WORD = 64
SATURATED = 2**15 - 1
"""Threshold of a neuron that fills a memory up."""
MAX_BYTES = 1 << 24
"""Of all files; FINN's largest network has 2 MB."""
NAME = re.compile(r"(\d{1,3})-(\d{1,4})-(weights|thres)\.bin", re.ASCII)
SIDE = 3
TAPS = SIDE * SIDE


def read_folder(path: str | os.PathLike[str]) -> Graph:
    """Read a folder.

    Raises:
        ConfigError: the folder cannot be read, or holds another network than described above.
        FormatError: files are missing or do not fit together.
    """
    folder = Path(path)
    with file_errors(folder, "read"):
        found = {m.groups(): file for file in folder.iterdir() if (m := NAME.fullmatch(file.name))}
        size = sum(file.stat().st_size for file in found.values())
        if size > MAX_BYTES:
            raise refuse(f"{folder} has {size} bytes of parameters: at most {MAX_BYTES}")
        classes = _classes(folder / "classes.txt")
        memories = {key: _words(file) for key, file in found.items()}
    if not memories:
        raise refuse(f"{folder} has no files such as 0-0-weights.bin (FINN's parameters)")
    count = 1 + max(int(layer) for layer, _, _ in memories)
    if count > MAX_LAYERS:
        raise refuse(f"{folder} has {count} layers: at most {MAX_LAYERS}")
    arrays: dict[str, Array] = {"pool_after": np.array(POOL_AFTER)}
    if classes:
        arrays["classes"] = np.array(classes)
    try:
        _Reader(memories, count, len(classes), arrays).read()
        return graph_of_arrays(arrays)
    except (KeyError, ValueError, IndexError, TypeError, OverflowError) as error:
        raise damaged(f"{folder}: the parameters do not fit together ({error})") from None


class _Reader:
    def __init__(
        self, memories: dict[Any, Array], count: int, classes: int, arrays: dict[str, Array]
    ) -> None:
        self.memories = memories
        self.count = count
        self.classes = classes
        self.arrays = arrays
        self.map: tuple[int, ...] = ()
        self.shape: tuple[int, ...] = ()
        """(channels, height, width) of the map that the next layer reads, (n,) of a vector."""

    def read(self) -> None:
        for k in range(self.count):
            self._layer(k)

    def _layer(self, k: int) -> None:
        weights = self._elements(k, "weights")
        thresholds = self._elements(k, "thres")
        if weights is None:
            raise ValueError(f"{k}-0-weights.bin is missing")
        simd = max(1, int(weights.max()).bit_length())
        if thresholds is not None:
            neurons = thresholds.shape[1]
        elif k + 1 < self.count:
            raise ValueError(f"layer {k} has no thresholds")
        else:
            neurons = weights.shape[1] // max(1, -(-math.prod(self.shape) // simd))
        groups, rest = divmod(weights.shape[1], max(1, neurons))
        if rest or not groups:
            raise refuse(
                f"layer {k} has {weights.shape[1]} words of weights for {neurons} neurons: "
                "weights or activations of more than one bit"
            )
        elements = len(weights)
        bits = np.unpackbits(weights.view(np.uint8), bitorder="little")
        bits = bits.reshape(elements, neurons, groups, 64)[..., :simd]
        rows = bits.transpose(1, 0, 2, 3).reshape(neurons * elements, groups * simd)
        limits = None if thresholds is None else thresholds.T.reshape(-1).view(np.int64)
        self._store(k, rows, limits)

    def _store(self, k: int, rows: Array, limits: Array | None) -> None:
        """Leave out what fills memories up, and put the layer into the arrays."""
        full: NDArray[np.bool_] = (rows == 1).all(axis=1)
        last = k + 1 == self.count
        if last and self.classes:
            kept = self.classes
            if kept > len(rows) or not full[kept:].all():
                raise ValueError(f"{kept} classes for the {len(rows)} neurons of the last layer")
        else:
            spare = full if limits is None else full & (limits >= SATURATED)
            kept = len(rows) - _trailing(spare)
        rows = rows[:kept]
        image = k == 0 and rows.shape[1] == 3 * TAPS
        if image:
            self.shape = (3, IMAGE_SIDE, IMAGE_SIDE)
        elif k == 0:
            spare = (rows == 1).all(axis=0)
            self.shape = (rows.shape[1] - min(WORD - 1, _trailing(spare)),)
        taps, inputs = self._taps(k, rows)
        rows = rows[:, :inputs]
        channels = self.shape[0]
        if len(self.shape) > 1 or taps > 1:
            rows = rows.reshape(kept, -1, channels).transpose(0, 2, 1).reshape(kept, -1)
        shape = (kept, channels, SIDE, SIDE) if taps > 1 else (kept, inputs)
        self.arrays[f"w{k}_shape"] = np.array(shape)
        self.arrays[f"w{k}_bits"] = np.packbits(rows, axis=1)
        if limits is not None:
            limits = limits[:kept]
            self.arrays[f"t{k}_ge"] = limits // 2 + 1 if image else 2 * (limits + 1) - inputs
        self.shape = (kept,)
        if taps > 1:
            sides = [side - SIDE + 1 for side in self.map[1:]]
            self.shape = (kept, *(side // 2 if k in POOL_AFTER else side for side in sides))

    def _taps(self, k: int, rows: Array) -> tuple[int, int]:
        """Taps of a layer's kernel, 1 of a dense one, and the length of a row."""
        self.map = self.shape
        dense = (1, math.prod(self.shape))
        fits = [dense]
        if len(self.shape) == 3 and min(self.shape[1:]) >= SIDE:
            fits.insert(0, (TAPS, TAPS * self.shape[0]))
        for taps, inputs in fits:
            spare = rows.shape[1] - inputs
            if 0 <= spare < WORD and rows[:, inputs:].all():
                return taps, inputs
        raise refuse(
            f"layer {k} has {rows.shape[1]} weights a neuron: neither a 3x3 convolution nor a "
            f"dense layer over {self.shape}"
        )

    def _elements(self, k: int, kind: str) -> Array | None:
        """The memories of a layer's elements, (elements, words); None if it has no thresholds."""
        parts: list[Array] = []
        while (str(k), str(len(parts)), kind) in self.memories:
            parts.append(self.memories[str(k), str(len(parts)), kind])
        given = sum(key[0] == str(k) and key[2] == kind for key in self.memories)
        if given != len(parts) or (kind == "weights" and not parts):
            raise ValueError(f"{k}-{len(parts)}-{kind}.bin is missing")
        if not parts:
            return None
        if len({len(part) for part in parts}) != 1 or not len(parts[0]):
            raise ValueError(f"{k}-*-{kind}.bin have different sizes, or no words")
        stacked: Array = np.stack(parts)
        elements = sum(key[0] == str(k) and key[2] == "weights" for key in self.memories)
        if len(stacked) != elements:
            raise ValueError(f"layer {k} has {elements} files of weights, {len(stacked)} of {kind}")
        return stacked


def _trailing(mask: NDArray[np.bool_]) -> int:
    """How many entries at the end are true."""
    return int(np.logical_and.accumulate(mask[::-1]).sum())


def _words(file: Path) -> Array:
    data = file.read_bytes()
    if len(data) % 8:
        raise damaged(f"{file} has {len(data)} bytes, which is not a whole number of 64-bit words")
    return np.frombuffer(data, "<u8")


def _classes(file: Path) -> list[str]:
    """Names, one in each line; none if the file is not there."""
    if not file.is_file():
        return []
    text = file.read_bytes()
    if len(text) > 1 << 16:
        raise refuse(f"{file} has {len(text)} bytes")
    lines = text.decode("utf-8", errors="replace").splitlines()
    return [line.strip() for line in lines if line.strip()]
