"""From trained networks or numpy arrays to `.mtjb` model files."""

from mtjkit_export.cost import summary
from mtjkit_export.formats.mtjb_writer import encode, save
from mtjkit_export.nets.binary import LayerSpec, Network, PixelRule

__all__ = ["LayerSpec", "Network", "PixelRule", "encode", "save", "summary"]
