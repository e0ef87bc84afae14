"""From trained networks or numpy arrays to `.mtjb` model files."""

from mtjkit_export.cost import summary
from mtjkit_export.formats.mtjb_writer import encode, save
from mtjkit_export.nets.binary import BinaryLayer, BinaryNet, PixelRule

# Their names up to version 0.1, for scripts that use them.
LayerSpec = BinaryLayer
Network = BinaryNet

__all__ = [
    "BinaryLayer",
    "BinaryNet",
    "LayerSpec",
    "Network",
    "PixelRule",
    "encode",
    "save",
    "summary",
]
