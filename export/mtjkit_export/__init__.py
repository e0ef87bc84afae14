"""From trained networks or numpy arrays to `.mtjb` model files.

The names below are loaded when they are first used: importing the package needs no numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtjkit_export.cost import summary
    from mtjkit_export.formats.mtjb_writer import encode, save
    from mtjkit_export.nets.binary import BinaryLayer, BinaryNet
    from mtjkit_export.nets.pixels import PixelRule, PixelTables

    # Their names up to version 0.1, for scripts that use them.
    LayerSpec = BinaryLayer
    Network = BinaryNet
else:
    _MODULES = {
        "mtjkit_export.cost": {"summary": "summary"},
        "mtjkit_export.formats.mtjb_writer": {"encode": "encode", "save": "save"},
        "mtjkit_export.nets.binary": {
            "BinaryLayer": "BinaryLayer",
            "BinaryNet": "BinaryNet",
            "LayerSpec": "BinaryLayer",
            "Network": "BinaryNet",
        },
        "mtjkit_export.nets.pixels": {"PixelRule": "PixelRule", "PixelTables": "PixelTables"},
    }

    def __getattr__(name: str) -> Any:
        for module, names in _MODULES.items():
            if name in names:
                return getattr(import_module(module), names[name])
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "BinaryLayer",
    "BinaryNet",
    "LayerSpec",
    "Network",
    "PixelRule",
    "PixelTables",
    "encode",
    "save",
    "summary",
]
