"""Networks with layers of kinds that few have: see viper_build, which says which.

Images of bits that are not packed, networks of one layer, class bits, averages, signs of pooled
bits, and layers that are computed product by product.
"""

# ruff: noqa: F821  (viper's types)

import micropython
from mtjkit_core.geometry import AVERAGES, CLASS_BITS, NUMBERS, PLUS_MINUS, SIGNED

from mtjkit_device.kernels import viper_layers


@micropython.viper
def _to_values(image: ptr8, to: ptr8, count: int, low: int):
    """Bytes of an image of bits: 1 for a byte above 0, `low` for any other."""
    while count > 0:
        count -= 1
        byte = low
        if image[count] - 1 < 127 and image[count]:
            byte = 1
        to[count] = byte


def layer_map(kernel, n, source, out):
    """A layer's intended output; `kernel` is a ViperKernel."""
    averages = kernel.model.layers[n].output == AVERAGES
    to = kernel.bits if averages else out
    if n == 0:
        kernel.first.layer_map(kernel, _values(kernel, source), to)
    elif kernel.positions[n]:
        kernel.hidden_map(n, source, to)
    else:
        kernel.plain(kernel.layers[n], source, kernel.data, to, 0)
    if averages:
        kernel.average(kernel.pooling, to, out, kernel.shapes[n].map_width)
    g = kernel.shapes[n]
    if g.output == SIGNED:
        at = g.inverted_at + 4 * g.out_words
        kernel.signs(out, kernel.data, at, g.out_words, g.map_words)


def layer_scores(kernel, n, source, scores):
    """The last layer's scores; `kernel` is a ViperKernel."""
    shape = kernel.shapes[n]
    if shape.output == CLASS_BITS:
        bits = kernel.bits
        layer_map(kernel, n, source, bits)
        for c in range(len(scores)):
            scores[c] = 1 if bits[c >> 3] >> (c & 7) & 1 else -1
    elif n == 0:
        kernel.first.layer_scores(kernel, _values(kernel, source), scores)
    elif kernel.plain and (shape.cells > 1 or shape.reads == NUMBERS):
        kernel.plain(kernel.layers[n], source, kernel.data, scores, 1)
    else:
        viper_layers.last(kernel.layers[n], source, kernel.data, scores)


def _values(kernel, image):
    """The image as int8: where the layer reads bits and does not pack them, their values."""
    if not kernel.image:
        return image
    low = 255 if kernel.shapes[0].reads == PLUS_MINUS else 0
    _to_values(image, kernel.image, len(kernel.image), low)
    return kernel.image
