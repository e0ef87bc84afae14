#!/usr/bin/env python3
"""Bring in a network that others trained, in Python: FINN's CNV W1A1 for CIFAR-10.

    python examples/finn_cnv.py PARAMETERS build/cnv-w1a1.mtjb
    invoke twin --model build/cnv-w1a1.mtjb

`invoke import PARAMETERS build/cnv-w1a1.mtjb` does the same. PARAMETERS is a folder of BNN-PYNQ's
(Xilinx/BNN-PYNQ, BSD-3), such as bnn/params/cifar10/cnvW1A1, or an .npz file of arrays:
docs/import.md says which. CNV has convolutions 64 64 P 128 128 P 256 256 without padding and fully
connected layers 512 512 10.
"""

from __future__ import annotations

import sys

from mtjkit_core.errors import MtjkitError
from mtjkit_core.model import Model
from mtjkit_export import BinaryNet, save, summary
from mtjkit_export.importers.lower import Options, lower
from mtjkit_host.boards.catalog import processors
from mtjkit_host.datasets import cifar10
from mtjkit_host.importing.check import check, random_images
from mtjkit_host.importing.command import read


def network(path: str) -> BinaryNet:
    """Read, lower, and check on random images.

    Args:
        path: a folder of parameters, or an .npz file of arrays.

    Raises:
        MtjkitError: the file cannot be read, holds what a model file cannot hold, or a score
            differs.
    """
    lowered = lower(read(path), Options(name="cnv-w1a1", class_names=cifar10.CLASSES))
    check(lowered, random_images(lowered, 4), "random image")
    return lowered.net


def main() -> int:
    """Convert the parameters of the first argument to the model file of the second."""
    if len(sys.argv) != 3:
        print("usage: finn_cnv.py PARAMETERS MODEL.mtjb", file=sys.stderr)
        return 2
    try:
        print(summary(Model(save(network(sys.argv[1]), sys.argv[2])), processors().values()))
    except MtjkitError as error:
        print(f"finn_cnv.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
