"""The commands: `invoke --list` in a checkout, `mtjkit --help` where the package is installed.

One module for each group of commands. A command turns strings into one call and gives back what is
to be printed; `mtjkit_host.cli.command` prints it and turns every error into one line. The modules
import nothing but invoke and the standard library: everything else is imported inside the commands,
so that a list of commands needs no other package.
"""

from __future__ import annotations

from typing import Any


def main() -> None:
    """Run the command line; Ctrl-C ends it without a traceback from the first import on."""
    from mtjkit_host.machine import leave_on_interrupt

    leave_on_interrupt()
    from mtjkit_host.cli.program import main

    main()


def namespace() -> Any:
    """All commands, as invoke's collection."""
    from mtjkit_host.cli.program import namespace

    return namespace()


__all__ = ["main", "namespace"]
