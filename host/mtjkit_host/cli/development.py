"""Commands for work on the project itself, in a checkout: style, types, tests, wheels."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from invoke.context import Context
from invoke.exceptions import Exit

from mtjkit_host.cli.command import command
from mtjkit_host.machine import tell
from mtjkit_host.parse import choice
from mtjkit_host.paths import REPOSITORY


@command()
def lint(c: Context) -> None:
    """Check style, types and spelling."""
    _lint(c)


TIERS = {
    "fast": "not emulated and not program and not data and not slow",
    "program": "program and not emulated and not data and not slow",
    "emulated": "emulated and not data and not slow",
    "check": "not data and not slow",
    "data": "data and not slow",
    "slow": "slow",
    "all": "",
}
"""Tier -> pytest's -m expression. The markers are explained in pyproject.toml."""


@command(
    help={
        "select": "pytest's -k expression",
        "tier": "fast, program, emulated, check (these three), data, slow or all (default)",
    }
)
def test(c: Context, select: str | None = None, tier: str = "all") -> None:
    """Run the tests of a tier; what they need and is not there is a reason to skip them."""
    _test(c, tier, select)


@command(help={"tier": "the tests' tier; default check: fast, program and emulated"})
def check(c: Context, tier: str = "check") -> None:
    """Lint, build the emulated boards' firmware, run the tests: all that CI does."""
    choice("--tier", tier, (*TIERS,))
    # mypy has one thread and a board's build waits for files: side by side they take less time.
    builds = [REPOSITORY / ".ci" / "boards"]
    with subprocess.Popen(builds, env=_environment(), start_new_session=True) as boards:
        try:
            _lint(c)
            boards.wait()
        except BaseException:
            os.killpg(boards.pid, signal.SIGTERM)
            raise
    if boards.returncode:
        tell(".ci/boards found something to fix; see above")
        raise Exit(code=1)
    _test(c, tier)


@command()
def docs(c: Context) -> None:
    """Build the documentation site into build/site; a dead link is an error."""
    _tools(c, "mkdocs build --quiet")


@command(iterable=["take"], help={"take": "a file of `bench --json`; may be given several times"})
def kernel_table(c: Context, take: list[str]) -> str:
    """Take numbers of `bench --json` into docs/bench.json; rewrite the pages' table of kernels."""
    from mtjkit_host.checks.kernel_table import update

    return "\n".join(update(take))


@command()
def wheel(c: Context) -> None:
    """Build the wheels of mtjkit and mtjkit-nets and the sdist into build/dist.

    The boards' C kernels go into the wheel; those whose compiler is missing are left out.
    """
    from mtjkit_core.errors import ConfigError

    from mtjkit_host.boards.native_module import build_natives

    try:
        for line in build_natives()[1]:
            tell(line)
    except ConfigError as error:
        tell(f"the wheel is without the boards' C kernels: {error}")
    build = "python -m hatchling build -t wheel"
    folder = shlex.quote(str(REPOSITORY / "build" / "dist"))
    _tools(c, f"{build} -t sdist -d {folder}", f"cd host/nets && {build} -d {folder}")


def _lint(c: Context) -> None:
    sources = sorted((REPOSITORY / "firmware").rglob("*.[ch]"))
    names = shlex.join(str(path.relative_to(REPOSITORY)) for path in sources)
    clang_format = f"clang-format --dry-run --Werror {names}"
    _tools(c, "ruff check .", "ruff format --check .", "mypy", "codespell", clang_format)


def _test(c: Context, tier: str, select: str | None = None) -> None:
    markers = TIERS[choice("--tier", tier, (*TIERS,))]
    # A file's tests share what they started, an emulated board say: they stay on one core, and
    # files with few but long tests are not left to the end. Those of the fast tier share little, so
    # that a core without work takes over tests of another one.
    how = ["worksteal"] if tier == "fast" else ["loadfile", "--no-loadscope-reorder"]
    words = ["pytest", "-n", "auto", "--dist", *how]
    words += ["-m", markers] * bool(markers) + ["-k", select or ""] * bool(select)
    _tools(c, shlex.join(words), last=True)


def _tools(c: Context, *commands: str, last: bool = False) -> None:
    """Run development tools in the project's folder; `last`: what they say comes last."""
    with c.cd(str(REPOSITORY)):
        for line in commands:
            if c.run(line, env=_environment(), warn=True).exited:
                if not last:
                    tell(f"{line.split()[0]} found something to fix; see above")
                raise Exit(code=1)


def _environment() -> dict[str, str]:
    """The process's variables; programs of this environment come first on the PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "NO_MKDOCS_2_WARNING": "1"}


COMMANDS = (lint, test, check, docs, kernel_table, wheel)
