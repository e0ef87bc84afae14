"""Host tools of mtjkit: runs on devices and on the twin, energies, results.

The names below are loaded when they are first used: importing the package needs no numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtjkit_host.runs.fleet_run import run_ports, run_unix
    from mtjkit_host.runs.options import RunOptions
    from mtjkit_host.runs.parse_options import parse_options
    from mtjkit_host.runs.result import Result
    from mtjkit_host.runs.run import run_twin
else:
    _MODULES = {
        "mtjkit_host.runs.fleet_run": ("run_ports", "run_unix"),
        "mtjkit_host.runs.options": ("RunOptions",),
        "mtjkit_host.runs.parse_options": ("parse_options",),
        "mtjkit_host.runs.result": ("Result",),
        "mtjkit_host.runs.run": ("run_twin",),
    }

    def __getattr__(name: str) -> Any:
        for module, names in _MODULES.items():
            if name in names:
                return getattr(import_module(module), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Result", "RunOptions", "parse_options", "run_ports", "run_twin", "run_unix"]
