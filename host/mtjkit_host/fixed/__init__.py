"""Fixed-point networks (Fxp8, Fxp16, Fxp32) through the emulated MTJ memory, in integer codes.

Needs the extra ``train``: torch does the convolutions.
"""

from mtjkit_host.fixed.net import FixedNet
from mtjkit_host.fixed.twin import FixedTwin

__all__ = ["FixedNet", "FixedTwin"]
