"""Runs images under micropython.heap_lock() with every kernel but python; prints their names.

On MicroPython: micropython tests/device/no_allocation.py LIB VECTORS (folders for sys.path).
"""

import gc
import sys

import micropython

sys.path.extend(sys.argv[1:])  # none where they are there already
import networks
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import WriteErrors
from mtjkit_device.engine import Engine
from mtjkit_device.kernels import KERNELS, load_kernel
from mtjkit_device.setup import ram_bytes
from records import chip_errors, random_errors

NAMES = ("pooled", "padded", "to one", "strides", "pooling", "long sums", "bits 0 and 1")
NAMES += ("zeros, padded", "class bits", "global average", "int8 weights", "groups")
SEED = 0xFEDCBA9876543210


def allocated(model, kernel):
    """Bytes that an engine takes; its code is loaded already."""
    gc.collect()
    before = gc.mem_alloc()
    made = Engine(model, kernel)
    gc.collect()
    return made, gc.mem_alloc() - before


for kernel in KERNELS[:-1]:
    try:
        Engine(Model(networks.build("thin")), kernel)
    except ConfigError:
        continue
    for name in NAMES:
        model = Model(networks.build(name))
        image = networks.image(name, 1)
        try:
            load_kernel(kernel, model.layers)
        except ConfigError:
            continue
        made, taken = allocated(model, kernel)
        hidden = len(model.layers) - 1
        by_layer = [(43 * n, 1 << 32) for n in range(hidden)]
        for limits in (0, 43, 103079215, 1 << 32, (0, 43), (1 << 32, 103079215), by_layer):
            for kind in (0, 1):
                made.configure(WriteErrors(SEED, kind, limits))
                micropython.heap_lock()
                made.run(image, (1 << 30) - 1)
                micropython.heap_unlock()
        layers = len(model.layers)
        chips = [chip_errors(n, layers) for n in range(3)] + [random_errors(2, layers)]
        for errors in chips:
            made.configure(errors)
            micropython.heap_lock()
            made.run(image, (1 << 30) - 1)
            micropython.heap_unlock()
        # Small networks: within the rounding of some dozen small blocks.
        foreseen = ram_bytes(model, kernel)
        assert -2000 < foreseen - taken < 2000, (name, taken, foreseen)
    print(kernel)
