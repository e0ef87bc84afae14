"""Commands that classify images: on the host, on boards, on emulated boards."""

from __future__ import annotations

from typing import Any

from invoke.context import Context

from mtjkit_host.cli.command import run_command

RESUME_HELP = {"resume": "go on with the run of this file (build/runs/...), with its options"}


def _finish(result: Any) -> tuple[Any, ...]:
    """Write a run's files and give back the run's tables.

    Raises:
        ConfigError: the file cannot be written; the tables are printed before.
    """
    from mtjkit_core.errors import ConfigError
    from mtjkit_export.files import write_atomically, write_json

    from mtjkit_host.cli import streams
    from mtjkit_host.datasets.arrays import npy_bytes
    from mtjkit_host.runs.result import tables

    shown = tuple(tables(result))
    o = result.options
    try:
        if o.json is not None:
            write_json(o.json, result.to_json())
        if o.scores is not None:
            write_atomically(o.scores, npy_bytes(result.scores))
    except ConfigError:
        streams.show(*shown)
        raise
    return shown


@run_command(help={"boards": "how many processes share the images; default 1", **RESUME_HELP})
def run_unix(
    c: Context, boards: str = "1", resume: str | None = None, **options: str | None
) -> Any:
    """Classify images on MicroPython's Unix port, in a process here: no board needed."""
    from mtjkit_host.parse import whole
    from mtjkit_host.runs.fleet_run import parse_run
    from mtjkit_host.runs.fleet_run import run_unix as run

    parsed, path = parse_run(resume, **options)
    return _finish(run(parsed, whole("--boards", boards, 1, 64), path))


@run_command(
    help={
        "ensemble": "vote over this many passes, each with other errors; or over more models, "
        "separated by commas"
    }
)
def twin(c: Context, ensemble: str | None = None, **options: str | None) -> Any:
    """Compute on the host alone what run-unix gives, to the bit."""
    from mtjkit_host.runs.parse_options import parse_options
    from mtjkit_host.runs.run import run_twin

    parsed = parse_options(**options)
    if ensemble is None:
        return _finish(run_twin(parsed))
    return _vote(parsed, ensemble)


def _vote(options: Any, ensemble: str) -> Any:
    from mtjkit_core.errors import ConfigError
    from mtjkit_export.files import write_json

    from mtjkit_host.runs.ensemble import run_ensemble

    if options.scores is not None:
        raise ConfigError("--scores is of one pass: leave out --ensemble")
    vote = run_ensemble(options, ensemble)
    if options.json is not None:
        write_json(options.json, vote.to_json())
    return vote.table()


@run_command(
    help={
        "port": "serial port: /dev/ttyACM0, a pty, socket://HOST:PORT; auto finds the only board; "
        "given several times, the boards share the images",
        "board": "name of an emulated board, which is started, flashed and ended: `boards`",
        **RESUME_HELP,
    },
    iterable=["port"],
)
def run(
    c: Context,
    port: list[str],
    board: str | None = None,
    resume: str | None = None,
    **options: str | None,
) -> Any:
    """Classify images on a board that `flash` has prepared, or on an emulated one."""
    from mtjkit_core.errors import ConfigError

    from mtjkit_host.runs.emulated import run_board
    from mtjkit_host.runs.fleet_run import parse_run, run_ports

    if board is not None and port:
        raise ConfigError("give --port for a real board or --board for an emulated one, not both")
    parsed, path = parse_run(resume, **options)
    if board is not None:
        return _finish(run_board(parsed, board, path=path))
    return _finish(run_ports(parsed, port, path))


@run_command(help={"machine": "name of the emulated board; default mps2-an385"})
def run_qemu(c: Context, machine: str = "mps2-an385", **options: str | None) -> Any:
    """Short for run --board NAME: classify images on a Cortex-M board that QEMU emulates."""
    from mtjkit_host.runs.emulated import run_board
    from mtjkit_host.runs.parse_options import parse_options

    return _finish(run_board(parse_options(**options), machine))


@run_command()
def run_pico(c: Context, **options: str | None) -> Any:
    """Short for run --board pico, an emulated Raspberry Pi Pico (slow: only a few images)."""
    from mtjkit_host.runs.emulated import run_board
    from mtjkit_host.runs.parse_options import parse_options

    return _finish(run_board(parse_options(**options), "pico"))


COMMANDS = (run_unix, twin, run, run_qemu, run_pico)
