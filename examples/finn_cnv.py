#!/usr/bin/env python3
"""Bring in a network that others trained: FINN's CNV W1A1 for CIFAR-10, from plain arrays.

    python examples/finn_cnv.py cnv_w1a1_cifar10.npz build/cnv-w1a1.mtjb
    invoke twin --model build/cnv-w1a1.mtjb

CNV (Xilinx/BNN-PYNQ, BSD-3) has convolutions 64 64 P 128 128 P 256 256 without padding and fully
connected layers 512 512 10. For each layer k the archive holds

    w{k}_shape  (out, in, 3, 3) or (out, in), torch's order
    w{k}_bits   rows of weights, numpy.packbits'ed: most significant bit first, 1 is +1
    t{k}_ge     thresholds, (out,): the activation is +1 where the signed sum S >= t; none for the
                last layer, whose scores are S

Pooling comes after the activations of layers 1 and 3. A pixel p becomes the int8 input
floor(256 p / 255 + 1/2) - 128, which in integers is (512 p + 255) // 510 - 128.
"""

from __future__ import annotations

import sys
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError, MtjkitError
from mtjkit_core.model import Model
from mtjkit_export import BinaryLayer, BinaryNet, PixelRule, save, summary
from mtjkit_host.boards.catalog import processors
from mtjkit_host.datasets import cifar10


def network(arrays: Mapping[str, Any]) -> BinaryNet:
    """Describe CNV from its arrays.

    Raises:
        ConfigError: an array is missing or has the wrong shape.
    """
    layers = []
    try:
        for k in range(9):
            shape = tuple(int(n) for n in arrays[f"w{k}_shape"])
            inputs = int(np.prod(shape[1:]))
            bits = np.unpackbits(arrays[f"w{k}_bits"], axis=1, count=inputs)
            weights = bits.reshape(shape).astype(np.int8) * 2 - 1
            if k < 6:
                layers.append(BinaryLayer.conv(weights, arrays[f"t{k}_ge"], pool=k in (1, 3)))
            elif k < 8:
                layers.append(BinaryLayer.dense(weights, arrays[f"t{k}_ge"]))
            else:
                layers.append(BinaryLayer.dense(weights))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"not the arrays of FINN's CNV: {error}") from None
    rule = PixelRule(mul=512, add=255, div=510)
    return BinaryNet("cnv-w1a1", layers, pixel_rule=rule, class_names=cifar10.CLASSES)


def main() -> int:
    """Convert the archive of the first argument to the model file of the second."""
    if len(sys.argv) != 3:
        print("usage: finn_cnv.py ARRAYS.npz MODEL.mtjb", file=sys.stderr)
        return 2
    try:
        try:
            with np.load(sys.argv[1], allow_pickle=False) as archive:
                described = network(archive)
        except (OSError, ValueError, TypeError, zlib.error, zipfile.BadZipFile) as error:
            raise ConfigError(f"{sys.argv[1]}: {error}") from None
        print(summary(Model(save(described, sys.argv[2])), processors().values()))
    except MtjkitError as error:
        print(f"finn_cnv.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
