"""Host tools of mtjkit: runs on devices and on the twin, energies, results."""

from mtjkit_host.fleet_run import run_ports, run_unix
from mtjkit_host.options import RunOptions, parse_options
from mtjkit_host.result import Result
from mtjkit_host.run import run_twin

__all__ = ["Result", "RunOptions", "parse_options", "run_ports", "run_twin", "run_unix"]
