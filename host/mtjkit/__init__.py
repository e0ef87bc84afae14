"""mtjkit for programs: runs on boards and in the simulator, models and cells.

The names are loaded when they are first used: importing the package needs no numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mtjkit_host.machine import version

if TYPE_CHECKING:
    from mtjkit_export.formats.mtjb_reader import load
    from mtjkit_host.importing.command import from_torch, import_net
    from mtjkit_host.mtj.cell_file import load_cell
    from mtjkit_host.mtj.cell_file import preset_names as cells
    from mtjkit_host.runs.fleet_run import run_ports, run_unix
    from mtjkit_host.runs.options import RunOptions
    from mtjkit_host.runs.parse_options import parse_options
    from mtjkit_host.runs.result import Result
    from mtjkit_host.runs.run import run_twin
else:
    _PLACES = {
        "Result": ("mtjkit_host.runs.result", "Result"),
        "RunOptions": ("mtjkit_host.runs.options", "RunOptions"),
        "cells": ("mtjkit_host.mtj.cell_file", "preset_names"),
        "from_torch": ("mtjkit_host.importing.command", "from_torch"),
        "import_net": ("mtjkit_host.importing.command", "import_net"),
        "load": ("mtjkit_export.formats.mtjb_reader", "load"),
        "load_cell": ("mtjkit_host.mtj.cell_file", "load_cell"),
        "parse_options": ("mtjkit_host.runs.parse_options", "parse_options"),
        "run_ports": ("mtjkit_host.runs.fleet_run", "run_ports"),
        "run_twin": ("mtjkit_host.runs.run", "run_twin"),
        "run_unix": ("mtjkit_host.runs.fleet_run", "run_unix"),
    }

    def __getattr__(name: str) -> Any:
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, attribute = _PLACES[name]
        return getattr(import_module(module), attribute)

    def __dir__() -> list[str]:
        return __all__


__version__ = version()

__all__ = [
    "Result",
    "RunOptions",
    "__version__",
    "cells",
    "from_torch",
    "import_net",
    "load",
    "load_cell",
    "parse_options",
    "run_ports",
    "run_twin",
    "run_unix",
]
