"""Commands that put the project to the test: a faulty line, its speed."""

from __future__ import annotations

from typing import Any

from invoke.context import Context

from mtjkit_host.cli.command import command


@command(
    help={
        "images": "how many; default 10000",
        "rate": "probability that a byte is struck, 0..0.01; default 0.001",
        "seed": "seed of the faults; default 0",
        "json": "write the result to this file",
    }
)
def soak(
    c: Context,
    images: str = "10000",
    rate: str = "0.001",
    seed: str = "0",
    json: str | None = None,
) -> Any:
    """Classify over a line that loses and garbles bytes while the device is killed at random."""
    from dataclasses import asdict

    from mtjkit_export.files import write_json

    from mtjkit_host.checks.soak import MAX_IMAGES, describe
    from mtjkit_host.checks.soak import soak as run_soak
    from mtjkit_host.parse import number, whole
    from mtjkit_host.runs.parse_options import parse_options

    output = parse_options(json=json).json
    result = run_soak(
        whole("--images", images, 1, MAX_IMAGES),
        number("--rate", rate),
        seed=whole("--seed", seed, 0, 2**63 - 1),
    )
    if output is not None:
        write_json(output, asdict(result))
    return describe(result)


@command(
    help={
        "only": "twin, neon, device, or a board that counts its time; default everything",
        "json": "write the result to this file",
        "rounds": "how often everything is timed; default 9",
        "clean": "devices and NEON without write errors alone, a tenth of the time",
    }
)
def bench(
    c: Context,
    only: str | None = None,
    json: str | None = None,
    rounds: str = "9",
    clean: bool = False,
) -> Any:
    """Measure speed: what is compared runs interleaved in one run (the twin's needs torch)."""
    from mtjkit_host.checks.bench import run_bench

    return run_bench(only, json, rounds, clean)


@command(
    positional=["board"],
    help={
        "board": "an emulated board whose firmware is built, or unix",
        "kernel": "measure this kernel alone; default all",
        "quick": "leave out `loading`, which takes a dozen starts of the board for each kernel",
    },
)
def measure_heap(c: Context, board: str, kernel: str | None = None, quick: bool = False) -> Any:
    """Measure what mtjkit's code takes of a board's heap, for its board.toml (minutes)."""
    from mtjkit_host.checks.heap_shares import measure_heap as measure

    return "\n".join(measure(board, (kernel,) if kernel else (), quick))


COMMANDS = (soak, bench, measure_heap)
