"""Kernel for stock Arm boards: inner functions in inline assembler, no toolchain needed."""

from mtjkit_device.kernels.thumb_memory import write
from mtjkit_device.kernels.viper_shared import ViperKernel, part

try:
    from mtjkit_device.kernels.thumb_rows_v7m import rows

    _FEW = 8  # words of a row that thumb_few_v7m takes
except (ImportError, SyntaxError):  # a Cortex-M0: its assembler does not take it
    from mtjkit_device.kernels.thumb_rows import rows

    _FEW = 0


class Kernel(ViperKernel):
    """See mtjkit_device.kernels."""

    PAIRS = "thumb_pairs"

    def __init__(self, model):
        super().__init__(model, write)

    @staticmethod
    def rows(layer):
        if layer.row_words <= _FEW and layer.pool_height * layer.pool_width == 1:
            return part("thumb_few_v7m").few
        return rows
