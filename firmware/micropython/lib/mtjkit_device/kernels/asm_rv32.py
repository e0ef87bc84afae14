"""Kernel for stock RISC-V boards: inner functions in inline assembler, no toolchain needed.

MicroPython 1.25's assembler reads one entry behind its table of labels. The entry is 0, as it must
be, unless the number of labels is a multiple of four; tests hold to that. The number is that of the
module's function with the most labels, and branches of a viper function are labels too.
"""

try:
    from mtjkit_device.kernels.rv32_rows_zbb import rows

    ZBB = True  # whether ones are counted in one instruction
except (ImportError, SyntaxError):  # it is only where the processor is known to have Zbb
    from mtjkit_device.kernels.rv32_rows import rows

    ZBB = False

from mtjkit_device.kernels.rv32_memory import write
from mtjkit_device.kernels.viper_shared import ViperKernel


class Kernel(ViperKernel):
    """See mtjkit_device.kernels."""

    PAIRS = "rv32_pairs"

    def __init__(self, model):
        super().__init__(model, write)

    @staticmethod
    def rows(layer):
        return rows
