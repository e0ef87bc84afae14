"""From trained networks or numpy arrays to `.mtjb` model files."""

from mtjkit_export.network import LayerSpec, Network, PixelRule
from mtjkit_export.report import summary
from mtjkit_export.writer import encode, save

__all__ = ["LayerSpec", "Network", "PixelRule", "encode", "save", "summary"]
