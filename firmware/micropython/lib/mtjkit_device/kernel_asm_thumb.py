"""Kernel for stock Arm boards: inner functions in inline assembler, no toolchain needed."""

from mtjkit_device.thumb_memory import write
from mtjkit_device.thumb_pairs import pairs
from mtjkit_device.thumb_rows import rows
from mtjkit_device.viper_kernel import ViperKernel


class Kernel(ViperKernel):
    """See mtjkit_device.engine."""

    def __init__(self, model):
        super().__init__(model, pairs, rows, write)
