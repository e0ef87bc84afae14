"""The project's commands: `invoke --list`, `invoke --help TASK`.

Each calls a function of the packages and reports; bad input ends in one line and status 2.
Packages are imported inside the tasks, so that a task needs only what it uses.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from invoke import Context, Exit, task

HERE = Path(__file__).resolve().parent

RUN_HELP = {
    "model": "model file (.mtjb); default: the VGG that the project carries",
    "data": "CIFAR-10's binary files, or photographs (PNG/JPEG); default: 500 test images",
    "images": "how many images, the first ones; default: all",
    "ber": "write-error rate of feature maps, 0..1; default 0.024",
    "pulse-ns": "pulse width for feature maps in ns, instead of --ber",
    "weight-ber": "write-error rate of weights, 0..1; default 0",
    "errors": "flip (an error inverts the written bit; default) or keep (it leaves the old bit)",
    "device": "TOML or JSON file of an MTJ cell: tau_ns, current_ua, voltage_v",
    "seed": "seed of every random stream; default 0",
    "kernel": "auto (default), python, viper, asm_thumb or native",
    "json": "write the result, unrounded, to this file",
}


def command(help: dict[str, str] | None = None, **options: Any) -> Callable[..., Any]:
    """`invoke.task`, with the project's errors shown as one line and status 2."""

    def decorate(body: Callable[..., None]) -> Any:
        @functools.wraps(body)
        def run(*args: Any, **kwargs: Any) -> None:
            from mtjkit_core.errors import MtjkitError

            try:
                body(*args, **kwargs)
            except MtjkitError as error:
                raise Exit(f"{body.__name__.replace('_', '-')}: {error}", code=2) from None
            except KeyboardInterrupt:
                raise Exit(f"{body.__name__.replace('_', '-')}: interrupted", code=130) from None

        return task(help=help or {}, **options)(run)

    return decorate


def run_command(help: dict[str, str] | None = None) -> Callable[..., Any]:
    """`command` for a run: takes the options of `RUN_HELP` too and hands them on as **options."""

    def decorate(body: Callable[..., None]) -> Any:
        own = list(inspect.signature(body).parameters.values())[:-1]
        keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
        shared = [
            inspect.Parameter(name.replace("-", "_"), keyword, default=None) for name in RUN_HELP
        ]
        body.__signature__ = inspect.Signature(own + shared)  # type: ignore[attr-defined]
        return command(help={**RUN_HELP, **(help or {})})(body)

    return decorate


def _report(result: Any) -> None:
    """Print a run's table and write its JSON."""
    from mtjkit_host.result import print_result, write_json

    print_result(result)
    if result.options.json is not None:
        write_json(result, result.options.json)


@run_command()
def run_unix(c: Context, **options: str | None) -> None:
    """Classify images on MicroPython's Unix port, over a pseudo-terminal: no board needed."""
    from mtjkit_host.options import parse_options
    from mtjkit_host.run import run_unix as run

    _report(run(parse_options(**options)))


@run_command()
def twin(c: Context, **options: str | None) -> None:
    """Compute on the host alone what run-unix gives, to the bit."""
    from mtjkit_host.options import parse_options
    from mtjkit_host.run import run_twin

    _report(run_twin(parse_options(**options)))


@run_command(help={"port": "serial port: /dev/ttyACM0, a pty, socket://HOST:PORT"})
def run(c: Context, port: str, **options: str | None) -> None:
    """Classify images on a board that `flash` has prepared."""
    from mtjkit_host.options import parse_options
    from mtjkit_host.run import run_port

    _report(run_port(parse_options(**options), port))


@command(
    help={
        "net": "binary, binary_x3, fxp8, fxp16 or fxp32, and -paper, -half, -small or -tiny",
        "data": "folder with CIFAR-10's binary files",
        "run": "folder for checkpoints, log and plot; default build/train/NET",
        "epochs": "length of the schedule; default 60",
        "batch": "images a step; default 128",
        "lr": "peak learning rate; default 0.002",
        "seed": "seed of weights, order and augmentation; default 0",
        "threads": "torch's threads; default its own choice",
        "precision": "auto (default), float32 or bfloat16",
        "start-from": "run folder of a net whose weights to start from",
    }
)
def train(
    c: Context,
    data: str,
    net: str = "binary-small",
    run: str | None = None,
    epochs: str | None = None,
    batch: str | None = None,
    lr: str | None = None,
    seed: str | None = None,
    threads: str | None = None,
    precision: str | None = None,
    start_from: str | None = None,
) -> None:
    """Train a network on CIFAR-10; the same command resumes after a stop (needs torch)."""
    from mtjkit_host.train.command import parse_training
    from mtjkit_host.train.trainer import train as run_training

    config = parse_training(
        net=net,
        data=data,
        run=run,
        epochs=epochs,
        batch=batch,
        lr=lr,
        seed=seed,
        threads=threads,
        precision=precision,
        start_from=start_from,
    )
    result = run_training(config)
    print(f"{result.epochs} epochs, test accuracy {100 * result.test_accuracy:.2f} %")
    print(f"checkpoints, log and plot: {result.run_dir}")


@command(
    help={
        "run": "folder of a training run; default build/train/binary-small",
        "output": "model file to write; default build/NET.mtjb",
        "name": "name stored in the file; default the net's",
        "best": "take the epoch with the best test accuracy instead of the last one",
    }
)
def export(
    c: Context,
    run: str = "build/train/binary-small",
    output: str | None = None,
    name: str | None = None,
    best: bool = False,
) -> None:
    """Fold a trained binary net into a bit-packed model file (needs torch)."""
    from mtjkit_export.report import summary
    from mtjkit_host.train.command import export_run

    path, model = export_run(run, output, name, best)
    print(summary(model))
    print(f"wrote {path}")


@command(positional=["model"], help={"model": "model file (.mtjb)"})
def info(c: Context, model: str) -> None:
    """Print a model's size by layer, RAM on the device, MACs, bits written for an image."""
    from mtjkit_export.reader import load
    from mtjkit_export.report import summary

    print(summary(load(model)))


@command()
def lint(c: Context) -> None:
    """Check style, types and spelling."""
    _tools(c, "ruff check .", "ruff format --check .", "mypy", "codespell")


@command(help={"select": "pytest's -k expression"})
def test(c: Context, select: str | None = None) -> None:
    """Run the tests; long data are found through MTJKIT_DATA and skipped without it."""
    _tools(c, "pytest" + (f" -k {select!r}" if select else ""))


@command()
def check(c: Context) -> None:
    """Lint, types and tests: what CI runs."""
    lint.body(c)
    test.body(c)


def _tools(c: Context, *commands: str) -> None:
    """Run development tools of this environment in the project's folder."""
    bin_dir = Path(sys.executable).parent
    env = {"PATH": f"{bin_dir}{os.pathsep}{os.environ['PATH']}"}
    with c.cd(str(HERE)):
        for line in commands:
            if c.run(line, env=env, warn=True).exited:
                raise Exit(f"{line.split()[0]} found something to fix; see above", code=1)
