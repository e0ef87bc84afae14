"""Kernel for stock Arm boards: inner functions in inline assembler, no toolchain needed."""

from mtjkit_device.kernels.thumb_memory import write
from mtjkit_device.kernels.viper_shared import ViperKernel

try:
    from mtjkit_device.kernels.thumb_rows_v7m import rows
except (ImportError, SyntaxError):  # a Cortex-M0: its assembler does not take it
    from mtjkit_device.kernels.thumb_rows import rows


class Kernel(ViperKernel):
    """See mtjkit_device.kernels."""

    PAIRS = "thumb_pairs"

    def __init__(self, model):
        super().__init__(model, rows, write)
