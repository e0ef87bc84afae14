"""Commands that classify images: on the host, on boards, on emulated boards."""

from __future__ import annotations

from typing import Any

from invoke.context import Context

from mtjkit_host.cli.command import run_command

RESUME_HELP = {"resume": "go on with the run of this file (build/runs/...), with its options"}


def _finish(result: Any) -> tuple[Any, ...]:
    """Write a run's JSON and give back the run's tables.

    Raises:
        ConfigError: the file cannot be written; the tables are printed before.
    """
    from mtjkit_core.errors import ConfigError
    from mtjkit_export.files import write_json

    from mtjkit_host.cli import streams
    from mtjkit_host.runs.result import tables

    shown = tuple(tables(result))
    if result.options.json is not None:
        try:
            write_json(result.options.json, result.to_json())
        except ConfigError:
            streams.show(*shown)
            raise
    return shown


@run_command(help={"boards": "how many processes share the images; default 1", **RESUME_HELP})
def run_unix(
    c: Context, boards: str = "1", resume: str | None = None, **options: str | None
) -> Any:
    """Classify images on MicroPython's Unix port, over a pseudo-terminal: no board needed."""
    from mtjkit_host.parse import whole
    from mtjkit_host.runs.fleet_run import parse_run
    from mtjkit_host.runs.fleet_run import run_unix as run

    parsed, path = parse_run(resume, **options)
    return _finish(run(parsed, whole("--boards", boards, 1, 64), path))


@run_command()
def twin(c: Context, **options: str | None) -> Any:
    """Compute on the host alone what run-unix gives, to the bit."""
    from mtjkit_host.runs.options import parse_options
    from mtjkit_host.runs.run import run_twin

    return _finish(run_twin(parse_options(**options)))


@run_command(
    help={
        "port": "serial port: /dev/ttyACM0, a pty, socket://HOST:PORT; auto finds the only board; "
        "given several times, the boards share the images",
        **RESUME_HELP,
    },
    iterable=["port"],
)
def run(c: Context, port: list[str], resume: str | None = None, **options: str | None) -> Any:
    """Classify images on a board that `flash` has prepared."""
    from mtjkit_host.runs.fleet_run import parse_run, run_ports

    parsed, path = parse_run(resume, **options)
    return _finish(run_ports(parsed, port, path))


@run_command(help={"machine": "mps2-an385 (Cortex-M3) or mps2-an500 (Cortex-M7)"})
def run_qemu(c: Context, machine: str = "mps2-an385", **options: str | None) -> Any:
    """Classify images on an emulated Cortex-M board (QEMU), flashed as a real one is."""
    from mtjkit_host.runs.emulated import run_qemu as run
    from mtjkit_host.runs.options import parse_options

    return _finish(run(parse_options(**options), machine))


@run_command()
def run_pico(c: Context, **options: str | None) -> Any:
    """Classify images on an emulated Raspberry Pi Pico (slow: only a few images)."""
    from mtjkit_host.runs.emulated import run_pico as run
    from mtjkit_host.runs.options import parse_options

    return _finish(run(parse_options(**options)))


COMMANDS = (run_unix, twin, run, run_qemu, run_pico)
