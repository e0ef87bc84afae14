"""Which layers the kernels with AVX2 compute. No board loads this."""

from mtjkit_core.geometry import AVERAGES, CLASS_BITS, DENSE, NUMBERS, PLUS_MINUS, ZERO_ONE


def beyond_bits(layer) -> str:
    """What of a layer is neither int8 pixels nor one bit, in words; "" for nothing."""
    if layer.reads == ZERO_ONE or layer.reads == PLUS_MINUS:
        return "an input of %s" % ("0 and 1" if layer.reads == ZERO_ONE else "-1 and +1")
    if layer.cells > 1:
        return "int8 weights"
    if layer.groups > 1:
        return "%d groups" % layer.groups
    if layer.output == CLASS_BITS:
        return "class bits"
    if layer.output == AVERAGES or layer.reads == NUMBERS:
        return "average pooling"
    return ""


def beyond_3x3(layer) -> str:
    """What of a layer the kernels for 3x3 convolutions do not compute, in words; "" for nothing.

    They compute convolutions of 3x3 with padding 0 or 1, 2x2 pooling and hidden dense layers.
    """
    unusual = beyond_bits(layer)
    if unusual:
        return unusual
    if layer.kind == DENSE:
        return "" if layer.index else "a dense first layer"
    if layer.kernel_height != 3 or layer.kernel_width != 3:
        return "a kernel of %d x %d" % (layer.kernel_height, layer.kernel_width)
    if layer.stride_y != 1 or layer.stride_x != 1:
        return "a stride of %d x %d" % (layer.stride_y, layer.stride_x)
    if layer.padding not in (0, 1):
        return "padding other than 0 or 1 on all sides"
    if layer.padding and layer.pad_value:
        return "a pad value of %d" % layer.pad_value
    if layer.pool < 0:
        return "%d x %d pooling" % (layer.pool_height, layer.pool_width)
    if layer.pool and (layer.out_height | layer.out_width) & 1:
        return "pooling of odd %d x %d" % (layer.out_height, layer.out_width)
    if layer.index == 0 and layer.in_channels > 16:
        return "an input of %d channels" % layer.in_channels
    return ""
