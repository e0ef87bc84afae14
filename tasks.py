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
    "model": "model file (.mtjb), or a carried one: vgg-small (default), binary-paper, ...",
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
CAMPAIGN_HELP = {
    "models": "folder where nets are looked for; may be given several times",
    "workers": "processes; default one for each core",
    "limit-s": "begin no point after so many seconds; the same command goes on; default no limit",
}
RESUME_HELP = {"resume": "go on with the run of this file (build/runs/...), with its options"}


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
            except MemoryError:
                name = body.__name__.replace("_", "-")
                raise Exit(f"{name}: this needs more memory than there is", code=2) from None
            except KeyboardInterrupt as stop:
                said = str(stop) or "interrupted"
                raise Exit(f"{body.__name__.replace('_', '-')}: {said}", code=130) from None

        return task(help=help or {}, **options)(run)

    return decorate


def run_command(help: dict[str, str] | None = None, **more: Any) -> Callable[..., Any]:
    """`command` for a run: takes the options of `RUN_HELP` too and hands them on as **options."""

    def decorate(body: Callable[..., None]) -> Any:
        own = list(inspect.signature(body).parameters.values())[:-1]
        keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
        shared = [
            inspect.Parameter(name.replace("-", "_"), keyword, default=None) for name in RUN_HELP
        ]
        body.__signature__ = inspect.Signature(own + shared)  # type: ignore[attr-defined]
        return command(help={**RUN_HELP, **(help or {})}, **more)(body)

    return decorate


def _report(result: Any) -> None:
    """Print a run's table and write its JSON."""
    from mtjkit_host.runs.result import print_result, write_json

    print_result(result)
    if result.options.json is not None:
        write_json(result, result.options.json)


@run_command(help={"boards": "how many processes share the images; default 1", **RESUME_HELP})
def run_unix(
    c: Context, boards: str = "1", resume: str | None = None, **options: str | None
) -> None:
    """Classify images on MicroPython's Unix port, over a pseudo-terminal: no board needed."""
    from mtjkit_host.parse import whole
    from mtjkit_host.runs.fleet_run import parse_run
    from mtjkit_host.runs.fleet_run import run_unix as run

    parsed, path = parse_run(resume, **options)
    _report(run(parsed, whole("--boards", boards, 1, 64), path))


@run_command()
def twin(c: Context, **options: str | None) -> None:
    """Compute on the host alone what run-unix gives, to the bit."""
    from mtjkit_host.runs.options import parse_options
    from mtjkit_host.runs.run import run_twin

    _report(run_twin(parse_options(**options)))


@run_command(
    help={
        "port": "serial port: /dev/ttyACM0, a pty, socket://HOST:PORT; auto finds the only board; "
        "given several times, the boards share the images",
        **RESUME_HELP,
    },
    iterable=["port"],
)
def run(c: Context, port: list[str], resume: str | None = None, **options: str | None) -> None:
    """Classify images on a board that `flash` has prepared."""
    from mtjkit_host.runs.fleet_run import parse_run, run_ports

    parsed, path = parse_run(resume, **options)
    _report(run_ports(parsed, port, path))


@run_command(help={"machine": "mps2-an385 (Cortex-M3) or mps2-an500 (Cortex-M7)"})
def run_qemu(c: Context, machine: str = "mps2-an385", **options: str | None) -> None:
    """Classify images on an emulated Cortex-M board (QEMU), flashed as a real one is."""
    from mtjkit_host.runs.emulated import run_qemu as run
    from mtjkit_host.runs.options import parse_options

    _report(run(parse_options(**options), machine))


@run_command()
def run_pico(c: Context, **options: str | None) -> None:
    """Classify images on an emulated Raspberry Pi Pico (slow: only a few images)."""
    from mtjkit_host.runs.emulated import run_pico as run
    from mtjkit_host.runs.options import parse_options

    _report(run(parse_options(**options)))


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
        "start-from": "run folder of a net whose weights to start from; a narrower one is widened",
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
        "output": "file to write; default build/NET.FORMAT",
        "name": "name stored in an .mtjb or .safetensors file; default the net's",
        "best": "take the epoch with the best test accuracy instead of the last one",
        "format": "mtjb (binary nets), safetensors (fixed-point nets) or tflite (the Fxp8 net, "
        "int8); default the first that holds the net",
        "weight_percentile": "fixed-point nets: scale each layer so that this percentile of its "
        "weights becomes 1, which makes wrong weight bits matter less; 99 costs little accuracy",
    }
)
def export(
    c: Context,
    run: str = "build/train/binary-small",
    output: str | None = None,
    name: str | None = None,
    best: bool = False,
    format: str | None = None,
    weight_percentile: str | None = None,
) -> None:
    """Turn a trained net into a deployable file: bit-packed, or TFLite (needs torch)."""
    from mtjkit_host.train.command import export_run

    print(export_run(run, output, name, best, format, weight_percentile))


@command(positional=["model"], help={"model": "model file (.mtjb), or a carried one's name"})
def info(c: Context, model: str) -> None:
    """Print a model's size by layer, RAM on the device, MACs, bits written for an image."""
    from mtjkit_export.cost import summary
    from mtjkit_export.formats.mtjb_reader import load
    from mtjkit_host.runs.options import model_path

    print(summary(load(model_path(model))))


@command(
    help={
        "port": "serial port: /dev/ttyACM0, a pty, socket://HOST:PORT; auto finds the only board",
        "model": "model that must fit the board: a file (.mtjb), or a carried one's name",
        "kernel": "kernel that the model shall run with; default auto",
        "weight-ber": "write-error rate of the weights, where they lie in mapped memory: the run's",
        "errors": "flip (default) or keep: the run's",
        "seed": "seed of the weights' errors: the run's; default 0",
    }
)
def flash(
    c: Context,
    port: str = "",
    model: str | None = None,
    kernel: str | None = None,
    weight_ber: str | None = None,
    errors: str | None = None,
    seed: str | None = None,
) -> None:
    """Put the firmware on a MicroPython board, copying only what changed, and check it."""
    from mtjkit_host.boards.flash import flash_for, report
    from mtjkit_host.runs.options import parse_options

    options = parse_options(
        model=model, kernel=kernel, weight_ber=weight_ber, errors=errors, seed=seed
    )
    print(report(flash_for(options, port)))


@command(
    help={
        "board": "mps2-an385, mps2-an500 or pico: build its MicroPython, for an emulator",
        "arch": "x64, armv6m, armv7m, ...: build the native kernels for it; default: all possible",
        "heap": "bytes of the emulated MPS2 board's heap; default 1048576",
    }
)
def firmware(
    c: Context, board: str | None = None, arch: str | None = None, heap: str | None = None
) -> None:
    """Build the native kernels (.mpy), or the firmware of an emulated board, from source."""
    from mtjkit_core.errors import ConfigError
    from mtjkit_host.boards.firmware import HEAP_BYTES, HEAP_RANGE, build_firmware
    from mtjkit_host.boards.native_module import build_native, build_natives
    from mtjkit_host.parse import whole

    if board is not None and arch is not None:
        raise ConfigError("--board builds a board's MicroPython, --arch native kernels: give one")
    if board is None and heap is not None:
        raise ConfigError("--heap is that of a --board")
    if board is not None:
        size = HEAP_BYTES if heap is None else whole("--heap", heap, *HEAP_RANGE)
        print(build_firmware(board, size))
    elif arch is not None:
        print(build_native(arch))
    else:
        paths, left_out = build_natives()
        print(*paths, sep="\n")
        for line in left_out:
            print(line, file=sys.stderr)


def _campaign_limits(workers: str | None, limit_s: str | None) -> dict[str, int]:
    """How many processes and for how long: options of `campaign` and `reproduce`."""
    from mtjkit_host.parse import whole

    return {
        "workers": 0 if workers is None else whole("--workers", workers, 1, 256),
        "limit_s": 0 if limit_s is None else whole("--limit-s", limit_s, 1, 10**8),
    }


@command(
    help={
        "campaign": "TOML file, or the name of a carried one: paper, reproduce, quick",
        "data": "folder with CIFAR-10's binary files",
        "output": "folder of results and report; default build/campaigns/NAME",
        "skip-missing": "leave out nets that are not there, and say so in the report",
        **CAMPAIGN_HELP,
    },
    positional=["campaign"],
    iterable=["models"],
)
def campaign(
    c: Context,
    campaign: str,
    data: str,
    models: list[str],
    output: str | None = None,
    workers: str | None = None,
    limit_s: str | None = None,
    skip_missing: bool = False,
) -> None:
    """Measure nets x memories x error rates x repeats; the same command resumes after a stop."""
    from mtjkit_host.analysis import print_tables, write_report
    from mtjkit_host.campaign import run_campaign

    limits = _campaign_limits(workers, limit_s)
    result = run_campaign(
        campaign, data=data, models=models, out=output, skip_missing=skip_missing, **limits
    )
    print_tables(result)
    print(f"report: {write_report(result)}")


@command(
    help={
        "quick": "a look in minutes: few images, rates and repeats",
        "data": "CIFAR-10's binary files; default: the 500 carried test images",
        "output": "folder of results and report; default build/reproduce",
        **CAMPAIGN_HELP,
    },
    iterable=["models"],
)
def reproduce(
    c: Context,
    models: list[str],
    quick: bool = False,
    data: str | None = None,
    output: str | None = None,
    workers: str | None = None,
    limit_s: str | None = None,
) -> None:
    """Regenerate the paper's Table 1, Figs. 7-10 and Table 2 beside the paper's values."""
    from mtjkit_host.analysis import print_tables
    from mtjkit_host.analysis import reproduce as run_reproduce

    limits = _campaign_limits(workers, limit_s)
    done = run_reproduce(quick, data=data, models=models, out=output, **limits)
    print_tables(done.result)
    print(f"report: {done.report}")


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
) -> None:
    """Classify over a line that loses and garbles bytes while the device is killed at random."""
    from mtjkit_host.checks.soak import MAX_IMAGES, report, write_json
    from mtjkit_host.checks.soak import soak as run_soak
    from mtjkit_host.parse import number, whole
    from mtjkit_host.runs.options import parse_options

    output = parse_options(json=json).json
    result = run_soak(
        whole("--images", images, 1, MAX_IMAGES),
        number("--rate", rate),
        seed=whole("--seed", seed, 0, 2**63 - 1),
    )
    print(report(result))
    if output is not None:
        write_json(result, output)


@command(
    help={
        "only": "twin or device; default both",
        "json": "write the result to this file",
        "rounds": "how often everything is timed; default 9",
    }
)
def bench(c: Context, only: str | None = None, json: str | None = None, rounds: str = "9") -> None:
    """Measure speed: what is compared runs interleaved in one run (the twin's needs torch)."""
    from mtjkit_host.checks.bench import run_bench

    print(run_bench(only, json, rounds))


@command()
def lint(c: Context) -> None:
    """Check style, types and spelling."""
    _tools(c, "ruff check .", "ruff format --check .", "mypy", "codespell")


@command(help={"select": "pytest's -k expression"})
def test(c: Context, select: str | None = None) -> None:
    """Run the tests; long data are found through MTJKIT_DATA and skipped without it."""
    # A file's tests share what they started, an emulated board say: they stay on one core.
    _tools(c, "pytest -n auto --dist loadfile" + (f" -k {select!r}" if select else ""))


@command()
def check(c: Context) -> None:
    """Lint, types and tests: what CI runs, on the boards whose firmware is built."""
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
