"""Binary nets on processors that the tests do not run on: cross-compiled, and emulated."""

import shutil
import subprocess
from pathlib import Path

import networks
import numpy as np
import pytest
import records
from mtjkit_core.model import Model
from mtjkit_core.write_errors import KEEP, WriteErrors
from mtjkit_export import encode
from mtjkit_host.simulate import compile
from mtjkit_host.simulate.binary_native import _geometry
from mtjkit_host.simulate.binary_numpy import BinaryNumpy
from support.nets import random_images, random_net, small_model

CC, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
WITH_NEON = ["padded", "pooled", "pool-plain", "one pixel", "one row", "two by two", "to one"]

pytestmark = [
    pytest.mark.emulated,
    pytest.mark.skipif(
        not (shutil.which(CC) and shutil.which(EMULATOR)),
        reason=f"{CC} or {EMULATOR} is missing (Debian: gcc-aarch64-linux-gnu, qemu-user)",
    ),
]


def case_bytes(model, images, errors):
    """A case as foreign.c reads it."""
    n, hidden = len(images), range(len(model.layers) - 1)
    maps = sum(layer.map_words for layer in model.layers)
    head = [len(model.layers), n, images[0].size, len(model.data), *model.half_words]
    key = [errors.seed & 0xFFFFFFFF, errors.seed >> 32]
    return b"".join(
        [
            np.array([*head, model.classes, maps], np.int32).tobytes(),
            bytes(_geometry(model)),
            bytes(model.data),
            images.tobytes(),
            np.arange(n, dtype=np.uint32).tobytes(),
            np.array(key, np.uint32).tobytes(),
            np.array([errors.map_words(layer) for layer in hidden], np.uint32).tobytes(),
        ]
    )


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A program for aarch64 that runs cases."""
    program = tmp_path_factory.mktemp("foreign") / "foreign"
    sources = [compile.SOURCE / name for name in ("memory.c", "binary.c", "chip.c")]
    flags = ["-std=gnu11", "-O3", "-static", "-I", str(compile.SOURCE)]
    here = Path(__file__).with_name("foreign.c")
    subprocess.run([CC, *flags, "-o", program, here, *sources], check=True)

    def run(cases):
        data = b"".join(case_bytes(*case) for case in cases)
        done = subprocess.run([EMULATOR, program], input=data, capture_output=True, check=True)
        return np.frombuffer(done.stdout, np.uint32)

    return run


def expected(model, images, errors):
    """Scores, counts and maps of numpy, as foreign.c writes them."""
    maps = []
    scores, counts = BinaryNumpy(model).run(images, errors=errors, trace=maps)
    parts = [scores.astype(np.int32).view(np.uint32), counts.astype(np.uint32)]
    parts += [np.concatenate(maps, axis=1)] if maps else []
    return np.concatenate([part.ravel() for part in parts])


def test_the_same_bits_on_aarch64(run):
    errors = WriteErrors(5, KEEP, records.LIMITS[1])
    cases = [(*small_model(name, 2), errors) for name in WITH_NEON]
    cases += [(*small_model(name, 2), errors) for name in networks.KINDS]
    for seed in range(40):
        model = Model(encode(random_net(np.random.default_rng(seed))))
        cases.append((model, random_images(model, 2, seed), errors))
    found = run(cases)
    assert (found == np.concatenate([expected(*case) for case in cases])).all()
