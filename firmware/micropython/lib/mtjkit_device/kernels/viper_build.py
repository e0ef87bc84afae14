"""What kernels in viper and assembler load and allocate for a model. A board forgets it then."""

from array import array

from mtjkit_core import footprint
from mtjkit_core.geometry import AVERAGES, CLASS_BITS, SIGNED

from mtjkit_device.kernels.viper_shared import part

# Positions (see mtjkit_core.footprint) of a layer all of whose windows lie in its map.
_INNER = array("i", (0, 1 << 24, 1, 0, 1 << 24, 1))


def load(kernel, layers) -> tuple:
    """Load the code that only some networks need.

    Args:
        kernel: a subclass of viper_shared.ViperKernel.
        layers: the model's.

    Returns:
        The first layer's module; its `pairs` or None; `rows` of every layer; `plain`, `average`,
        `signs` and the module of unusual networks, or None.
    """
    computed = footprint.computed(layers)
    kind = footprint.first_kind(computed[0])
    first = part(("viper_first", "viper_sums", "viper_packed", "viper_plain")[kind])
    pairs = plain = average = signs = unusual = None
    if kind in (footprint.PAIRS, footprint.LONG):
        pairs = part(kernel.PAIRS).pairs
    if any([footprint.is_plain(layer) for layer in computed]):
        plain = part("viper_plain").plain
    if any([layer.output == AVERAGES for layer in layers]):
        average = part("viper_average").average
    if any([layer.output == SIGNED for layer in layers]):
        signs = part("viper_signs").signs
    class_bits = layers[-1].output == CLASS_BITS
    if plain or average or signs or class_bits or len(layers) == 1:
        unusual = part("viper_unusual")
    elif footprint.image_bytes(computed[0]):
        unusual = part("viper_unusual")
    loops = [kernel.rows(layer) for layer in computed]
    return first, pairs, loops, plain, average, signs, unusual


def fill(kernel, model) -> None:
    """Set a kernel's attributes for a model.

    first, plain, average, unusual: modules and functions that `load` returns.
    signs: the function that it returns, where there is one.
    pairs: the inner function of the first layer.
    loops: `rows` of every layer.
    shapes, layers: the layers as they are computed, and their numbers.
    positions: where windows leave their map, of each layer; None where it is a plain one.
    work, job: memory of the layers' functions.
    image, bits: room for an image's values and for bits that are never in the memory; or None.
    pooling: the numbers of the layer that averages.
    """
    code = load(type(kernel), model.layers)
    kernel.first, kernel.pairs, kernel.loops, kernel.plain, kernel.average = code[:5]
    signs, kernel.unusual = code[5:]
    if signs:
        kernel.signs = signs
    kernel.shapes = footprint.computed(model.layers)
    kernel.layers = [layer.numbers() for layer in kernel.shapes]
    kernel.positions = [None] * len(kernel.layers)
    kernel.positions[0] = _INNER
    for layer in footprint.packed_maps(model):
        found = footprint.positions(layer)
        kernel.positions[layer.index] = array("i", found) if len(found) > 6 else _INNER
    kernel.work = bytearray(4 * footprint.work_words(model))
    kernel.job = bytearray(4 * footprint.job_words(model))
    size = footprint.image_bytes(model.layers[0])
    kernel.image = bytearray(size) if size else None
    size = footprint.bits_bytes(model)
    kernel.bits = bytearray(size) if size else None
    for layer in model.layers:
        if layer.output == AVERAGES:
            kernel.pooling = layer.numbers()
