"""Commands for work on the project itself, in a checkout: style, types, tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from invoke.context import Context
from invoke.exceptions import Exit

from mtjkit_host.cli import streams
from mtjkit_host.cli.command import command
from mtjkit_host.paths import REPOSITORY


@command()
def lint(c: Context) -> None:
    """Check style, types and spelling."""
    _lint(c)


@command(help={"select": "pytest's -k expression"})
def test(c: Context, select: str | None = None) -> None:
    """Run the tests; long data are found through MTJKIT_DATA and skipped without it."""
    _test(c, select)


@command()
def check(c: Context) -> None:
    """Lint, types and tests: what CI runs, on the boards whose firmware is built."""
    _lint(c)
    _test(c)


def _lint(c: Context) -> None:
    _tools(c, "ruff check .", "ruff format --check .", "mypy", "codespell")


def _test(c: Context, select: str | None = None) -> None:
    # A file's tests share what they started, an emulated board say: they stay on one core.
    _tools(c, "pytest -n auto --dist loadfile" + (f" -k {select!r}" if select else ""))


def _tools(c: Context, *commands: str) -> None:
    """Run development tools of this environment in the project's folder."""
    bin_dir = Path(sys.executable).parent
    env = {"PATH": f"{bin_dir}{os.pathsep}{os.environ['PATH']}"}
    with c.cd(str(REPOSITORY)):
        for line in commands:
            if c.run(line, env=env, warn=True).exited:
                streams.tell(f"{line.split()[0]} found something to fix; see above")
                raise Exit(code=1)


COMMANDS = (lint, test, check)
