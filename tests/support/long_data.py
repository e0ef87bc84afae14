"""Long data: files too large for the repository, in the folder that MTJKIT_DATA names.

cifar-10-batches-bin/       CIFAR-10 in its binary form, 60,000 images
mnist/                      MNIST's 10,000 test images, idx.gz
cnv_w1a1_cifar10.npz        FINN's CNV W1A1 with its authors' scores of 10,000 images
cnv_w1a1_gtsrb.npz          FINN's CNV W1A1 for road signs
lfc_w1a1_chars.npz          FINN's LFC W1A1 for handwritten characters
"""

import os
from pathlib import Path

import pytest


def long_file(name=""):
    """Path of a file of the long data; without it, skip the test and say why.

    A test that calls this carries the marker `data`.
    """
    folder = os.environ.get("MTJKIT_DATA")
    if not folder:
        pytest.skip("MTJKIT_DATA is not set")
    path = Path(folder) / name
    if not path.exists():
        pytest.skip(f"the folder that MTJKIT_DATA names has no {name}")
    return path
