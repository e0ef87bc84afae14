"""The MTJ memory of fixed-point networks: firmware/MEMORY.md, with wider elements.

A map is one run of bits: element i's code, in (y, x, channel) order, takes the bits
i * bits ... (i + 1) * bits - 1, two's complement, least significant bit first. So are all weights
of a layer, in (out, y, x, in) order. Halves, streams, draws and counts are those of the binary
networks.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from mtjkit_core.bits import tail_mask
from mtjkit_core.write_errors import FLIP, WriteErrors

from mtjkit_host.simulate import draws
from mtjkit_host.simulate.fixed_native import Codes, Words


def pack(codes: Codes) -> Words:
    """Codes (n, elements) as rows of words (n, words) uint32, zeros in the padding."""
    rows = np.ascontiguousarray(codes).view(np.uint8)
    spare = -rows.shape[1] % 4
    return (np.pad(rows, ((0, 0), (0, spare))) if spare else rows).view("<u4")


def unpack(words: Words, elements: int, bits: int) -> Codes:
    """The codes (n, elements) that rows of words hold: a copy."""
    codes: Codes = words.view(f"<i{bits // 8}")[:, :elements].copy()
    return codes


def write(
    cells: Words,
    intended: Words,
    bits: int,
    errors: WriteErrors,
    first: int,
    memory: int,
    layer: int,
) -> npt.NDArray[np.int64]:
    """Write maps, or a layer's weights, with errors: the plain reference, in numpy.

    Args:
        cells: (n, words) uint32, the old bits; replaced by what is stored.
        intended: (n, words) uint32, padding 0.
        bits: of a row.
        errors: the error process.
        first: index in the data of the image of row 0; 0 for weights.
        memory: mtjkit_core.streams.BUFFER or WEIGHTS.
        layer: number of the layer, from 0.

    Returns:
        Counts of all rows, (5,): mtjkit_core.write_errors.COUNTS.
    """
    lanes = np.full(intended.shape[1], 0xFFFFFFFF, np.uint32)
    lanes[-1] = tail_mask(bits)
    images = np.arange(first, first + len(cells), dtype=np.uint32)
    failed = draws.failures(errors, images, layer, lanes, intended, memory)
    toggled = (cells ^ intended) & lanes
    wrong = failed if errors.kind == FLIP else failed & toggled
    cells[:] = intended ^ wrong
    counts: npt.NDArray[np.int64] = draws.count(lanes, intended, toggled, wrong).sum(axis=0)
    return counts
