"""Host tools of mtjkit: runs on devices and on the twin, energies, results."""

from mtjkit_host.runs.fleet_run import run_ports, run_unix
from mtjkit_host.runs.options import RunOptions, parse_options
from mtjkit_host.runs.result import Result
from mtjkit_host.runs.run import run_twin

__all__ = ["Result", "RunOptions", "parse_options", "run_ports", "run_twin", "run_unix"]
