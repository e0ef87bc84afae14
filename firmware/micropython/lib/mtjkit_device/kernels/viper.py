"""Kernel for any port with the native emitter: the same bits as the reference."""

import sys

from mtjkit_device.kernels.viper_memory import write
from mtjkit_device.kernels.viper_shared import ViperKernel

if sys.maxsize >> 32:
    from mtjkit_device.kernels.viper_rows64 import rows
else:
    from mtjkit_device.kernels.viper_rows32 import rows


class Kernel(ViperKernel):
    """See mtjkit_device.kernels."""

    PAIRS = "viper_pairs"

    def __init__(self, model):
        super().__init__(model, write)

    @staticmethod
    def rows(layer):
        return rows
