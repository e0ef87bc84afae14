"""All commands together, and the program `mtjkit`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from invoke.collection import Collection
from invoke.program import Program

from mtjkit_host.cli import boards, campaigns, cells, checks, development, nets, plan, runs, streams
from mtjkit_host.paths import IS_CHECKOUT


def namespace() -> Collection:
    """The commands: all of them in a checkout, without those of development elsewhere."""
    groups = [runs, nets, cells, plan, boards, campaigns, checks]
    if IS_CHECKOUT:
        groups.append(development)
    return Collection(*(task for group in groups for task in group.COMMANDS))


def main() -> None:
    """Run the command line, as the console script `mtjkit`."""
    streams.prepare()
    try:
        number = version("mtjkit")
    except PackageNotFoundError:
        number = "not installed"
    Program(name="mtjkit", binary="mtjkit", version=number, namespace=namespace()).run()
