"""Many trainings in one process, in order of worth, within a time limit: for a rented GPU.

    python -m mtjkit_host.train.queue PLAN.json --data CIFAR --out FOLDER --limit-s 580

A plan is a JSON object ``{"runs": [...]}``. A run names itself (``name``), its ``net`` (a preset,
or an object with the fields of `NetSpec`) and any field of `TrainConfig`; ``start_from`` is the
name of an earlier run. ``seconds`` and ``epochs`` [least, most] say how long it may train: as
many epochs as fit. Neighbours with the same ``group`` train at once, each on a stream of its own:
small nets fill a GPU together. What does not fit into the rest of the time is left out.

``FOLDER`` gets each finished net as .mtjb or .safetensors, and NAME.json: settings, card, seconds,
accuracy after each tested epoch. ``--packed`` puts all of it into one tar in parts of 16 MB at
most. ``--time STEPS`` trains nothing but times that many steps of each run into ``--speeds``.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import io
import itertools
import json
import platform
import sys
import tarfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mtjkit_core.errors import ConfigError, MtjkitError
from mtjkit_export.files import file_sha256, write_json
from mtjkit_export.formats.mtjb_writer import save
from mtjkit_export.formats.safetensors import save_fixed

from mtjkit_host.paths import TRAINED
from mtjkit_host.train.architectures import NetSpec
from mtjkit_host.train.config import TrainConfig, TrainResult
from mtjkit_host.train.lower import fold, fold_fixed
from mtjkit_host.train.state import load_net
from mtjkit_host.train.trainer import Data, load_data, pick_device, training

PART_BYTES = 16_000_000
"""Most bytes of a part of the packed results."""

_PACK_S = 10.0
"""Time kept back at the end for exports."""
_SETUP_S = 3.0
"""Time that a run takes before its first step."""
_WARM_STEPS = 6
_TIMED_STEPS = 20


@dataclass(frozen=True)
class Run:
    """One training of a plan."""

    name: str
    """Of its folder and files."""
    net: NetSpec
    """What is trained."""
    options: dict[str, Any]
    """Other fields of `TrainConfig`."""
    least: int = 1
    """Fewest epochs that are worth it."""
    most: int = 60
    """Most epochs."""
    seconds: float = 1e9
    """Most seconds of training."""
    group: str = ""
    """Neighbours of one group train at once."""
    start_from: str | None = None
    """Name of an earlier run whose weights this one starts from."""

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> Run:
        """Read a run of a plan; raises ConfigError naming what is wrong."""
        rest = dict(fields)
        try:
            name, net = rest.pop("name"), rest.pop("net")
            spec = NetSpec.named(net) if isinstance(net, str) else _spec(name, net)
            epochs = rest.pop("epochs", 60)
            least, most = epochs if isinstance(epochs, list) else (epochs, epochs)
            own = {key: rest.pop(key) for key in ("seconds", "group", "start_from") if key in rest}
            if "train_ber" in rest:
                rest["train_ber"] = tuple(rest["train_ber"])
            TrainConfig(spec, Path(), Path(), **rest)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"plan: {fields.get('name', fields)}: {error}") from error
        return cls(name, spec, rest, least, most, **own)


@dataclass
class Queue:
    """A plan under way."""

    runs: Sequence[Run]
    """The plan's."""
    data: Data
    """What all of them train and test on."""
    base: TrainConfig
    """Whose data, device, threads and limits every run takes; its run folder holds theirs."""
    out: Path
    """Folder for nets and results."""
    speeds: dict[str, float]
    """Run -> seconds that an image takes in training. Measured first where it is missing and the
    run's number of epochs follows from it."""
    deadline: float
    """Of `time.monotonic`."""
    packed: Path | None = None
    """Folder for the parts of a tar of ``out``."""
    done: list[str] = field(default_factory=list)
    """Names of the runs that have ended."""

    def work(self) -> None:
        """Train every group in turn."""
        for _, group in itertools.groupby(self.runs, key=lambda run: run.group or run.name):
            self._train(list(group))
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _left(self) -> float:
        return self.deadline - time.monotonic() - _PACK_S

    def _epochs(self, group: list[Run]) -> dict[str, int]:
        """How many epochs each run of a group gets; those that do not fit are left out."""
        unknown = [r for r in group if r.least < r.most and r.name not in self.speeds]
        if unknown:
            self.speeds |= time_runs(unknown, self.base, self.data, _TIMED_STEPS)
        left, epochs = self._left(), {}
        for run in group:
            if run in unknown and run.name not in self.speeds:
                continue  # it failed
            speed = self.speeds.get(run.name, 1e-9) * len(self.data.training.labels)
            fits = min(run.seconds, left - _SETUP_S) / speed
            count = int(min(run.most, fits))
            if count < run.least and left - _SETUP_S >= run.least * speed:
                count = run.least
            if count < run.least:
                say(f"{run.name}: left out, {left:.0f} s left")
                continue
            epochs[run.name] = count
            left -= _SETUP_S + count * speed
        return epochs

    def _train(self, group: list[Run]) -> None:
        epochs = self._epochs(group)
        steps: dict[str, Iterator[None]] = {}
        streams: dict[str, AbstractContextManager[Any]] = {}
        begun = time.monotonic()
        for run in group:
            if run.name in epochs:
                config = self._config(run, epochs[run.name])
                steps[run.name] = self._one(run, config)
                streams[run.name] = _stream(self.data) if len(epochs) > 1 else nullcontext()
                say(f"{run.name}: {config.epochs} epochs, batch {config.batch}")
        while steps:
            for name in list(steps):
                try:
                    with streams[name]:
                        next(steps[name])
                except StopIteration:
                    del steps[name]
                except (MtjkitError, RuntimeError) as error:
                    del steps[name]
                    say(f"{name}: FAILED after {time.monotonic() - begun:.0f} s: {error}")
                    traceback.print_exc()

    def _config(self, run: Run, epochs: int) -> TrainConfig:
        source = None if run.start_from is None else self.base.run_dir / run.start_from
        values = {"net": run.net, "run_dir": self.base.run_dir / run.name, "epochs": epochs}
        values |= {"start_from": source, "limit_s": max(1.0, self._left())}
        return dataclasses.replace(self.base, **{**values, **run.options})

    def _one(self, run: Run, config: TrainConfig) -> Iterator[None]:
        begun = time.monotonic()
        result = yield from training(config, self.data)
        seconds = time.monotonic() - begun
        path = self._export(run, config)
        record = report(run, config, result, path, seconds)
        write_json(self.out / f"{run.name}.json", record)
        self.done.append(run.name)
        if self.packed is not None:
            pack(self.out, self.packed)
        say(
            f"{run.name}: {100 * result.test_accuracy:.2f} % after {result.epochs} epochs, "
            f"train {100 * result.history[-1].train_accuracy:.1f} %, {seconds:.1f} s "
            f"+ {time.monotonic() - begun - seconds:.1f} s"
        )

    def _export(self, run: Run, config: TrainConfig) -> Path:
        net = load_net(config.run_dir)
        path = self.out / f"{run.name}.{'mtjb' if run.net.binary else 'safetensors'}"
        if run.net.binary:
            save(fold(net), path)
        else:
            save_fixed(fold_fixed(net), path)
        return path


def report(
    run: Run, config: TrainConfig, result: TrainResult, path: Path, seconds: float
) -> dict[str, Any]:
    """Return what is known of a finished run, as JSON values; ``path``: its net's file."""
    history = [dataclasses.asdict(record) for record in result.history]
    return {
        "name": run.name,
        "config": config.recipe(),
        "finished": result.finished,
        "epochs": result.epochs,
        "seconds": seconds,
        "device": device_name(config.device),
        "torch": torch.__version__,
        "test_accuracy": result.test_accuracy,
        "file": path.name,
        "sha256": file_sha256(path),
        "history": history,
    }


def time_runs(
    runs: Sequence[Run], base: TrainConfig, data: Data, steps: int, after: Path | None = None
) -> dict[str, float]:
    """Return the seconds that an image takes in each run's training, from ``steps`` of its steps.

    Everything is set up and compiled first; then it waits until ``after`` exists, so that two
    processes can take turns. A run that fails is left out, with a message.
    """
    ready: dict[str, Iterator[None]] = {}
    for run in runs:
        folder = base.run_dir / f"{run.name}-timed"
        config = dataclasses.replace(base, net=run.net, run_dir=folder, epochs=1000, **run.options)
        work = training(config, data)
        begun = time.perf_counter()
        try:
            for _ in range(_WARM_STEPS):
                next(work)
            _wait(data)
        except (MtjkitError, RuntimeError) as error:
            say(f"{run.name}: FAILED: {error}")
            traceback.print_exc()
            continue
        say(f"{run.name}: ready after {time.perf_counter() - begun:.1f} s")
        ready[run.name] = work
    while after is not None and not after.exists():
        time.sleep(0.05)
    seconds = {}
    for run in runs:
        if run.name not in ready:
            continue
        begun = time.perf_counter()
        for _ in range(steps):
            next(ready[run.name])
        _wait(data)
        batch = dataclasses.replace(base, net=run.net, **run.options).batch
        seconds[run.name] = (time.perf_counter() - begun) / steps / batch
        say(f"{run.name}: {5e4 * seconds[run.name]:.3f} s for 50,000 images")
    return seconds


def pack(folder: Path, to: Path) -> None:
    """Write the files of a folder as one tar, in parts ``nets.tar.0``, ... of 16 MB at most."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)
    whole = buffer.getvalue()
    for number, at in enumerate(range(0, len(whole), PART_BYTES)):
        (to / f"nets.tar.{number}").write_bytes(whole[at : at + PART_BYTES])


def device_name(name: str) -> str:
    """Return the card's, or the processor's architecture."""
    if pick_device(name).type == "cuda":
        return str(torch.cuda.get_device_name())
    return platform.processor() or platform.machine()


def say(text: str) -> None:
    """Log a line with the time of the process."""
    print(f"[{time.perf_counter() - _STARTED:6.1f}] {text}", flush=True)


_STARTED = time.perf_counter()


def _spec(name: str, fields: dict[str, Any]) -> NetSpec:
    return NetSpec.from_json({"name": name, **fields})


def _stream(data: Data) -> AbstractContextManager[Any]:
    device = data.training.labels.device
    if device.type != "cuda":
        return nullcontext()
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    return torch.cuda.stream(stream)


def _wait(data: Data) -> None:
    if data.training.labels.device.type == "cuda":
        torch.cuda.synchronize()


def _override(runs: list[dict[str, Any]], settings: list[str]) -> None:
    """Apply ``NAME.KEY=JSON`` to the plan's runs, NAME being * for all."""
    for setting in settings:
        where, _, value = setting.partition("=")
        name, _, key = where.rpartition(".")
        chosen = [run for run in runs if name in ("*", run.get("name"))]
        if not chosen:
            raise ConfigError(f"--set {setting}: the plan has no run {name}")
        for run in chosen:
            run[key] = json.loads(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a plan; returns the exit status."""
    parser = argparse.ArgumentParser(prog="queue", description=__doc__.splitlines()[0])
    parser.add_argument("plan", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=TRAINED, help="run folders")
    parser.add_argument("--packed", type=Path)
    parser.add_argument("--limit-s", type=float, default=1e9)
    parser.add_argument("--speeds", type=Path, default=Path("build/speeds.json"))
    parser.add_argument("--time", type=int, default=0, metavar="STEPS")
    parser.add_argument("--after", type=Path, help="time when this file is there")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--limit-train", type=int, default=0)
    parser.add_argument("--limit-test", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="NAME.KEY=JSON")
    options = parser.parse_args(arguments)
    deadline = time.monotonic() + options.limit_s
    plan = json.loads(options.plan.read_text(encoding="utf-8"))["runs"]
    _override(plan, options.set)
    runs = [Run.parse(fields) for fields in plan]
    base = TrainConfig(
        NetSpec.named("binary-tiny"),
        options.data,
        options.work,
        device=options.device,
        limit_train=options.limit_train,
        limit_test=options.limit_test,
        save_every=10**6,
        test_every=5,
        keep_best=False,
        plots=False,
    )
    data = load_data(base)
    for folder in (options.out, options.work, options.speeds.parent):
        folder.mkdir(parents=True, exist_ok=True)
    speeds = (
        json.loads(options.speeds.read_text(encoding="utf-8")) if options.speeds.is_file() else {}
    )
    say(f"{device_name(options.device)}, torch {torch.__version__}, {len(runs)} runs")
    if not options.time:
        queue = Queue(runs, data, base, options.out, speeds, deadline, options.packed)
        queue.work()
        return 0 if len(queue.done) == len(runs) else 1
    speeds |= time_runs(runs, base, data, options.time, options.after)
    options.speeds.write_text(json.dumps(speeds), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
