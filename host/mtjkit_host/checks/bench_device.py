"""The device's kernels: whole networks, first layer, thresholds and writes included.

CNV's shape on the emulated boards, where time is counted exactly, and the paper's Binary on
MicroPython's Unix port, where it is measured; weights are seeded and random.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from mtjkit_core import messages as m
from mtjkit_core.errors import ConfigError, LinkError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import WriteErrors, fail_limit

from mtjkit_host.boards.catalog import boards
from mtjkit_host.checks.bench_nets import cnv, paper_binary, random_images
from mtjkit_host.link.link import Link
from mtjkit_host.link.session import Session

KERNELS = tuple(name for name in m.KERNELS[1:] if name != "python")  # it takes minutes an image
RATES = (1e-8, 1e-4, 0.024, 0.3, 0.5)
UNEVEN = ((0.024, 0.05), (0.3, 0.1))
"""Rates down and up that differ."""


@dataclass(frozen=True)
class Target:
    """Where the kernels run, and the unit of its time."""

    name: str
    """The board's name in the catalog."""
    unit: str
    """Name of the number in the JSON."""
    per_us: float
    """Units in a microsecond of the device's clock; for the Unix port milliseconds."""
    per_32_macs: bool
    """Whether the number is for 32 multiply-accumulates rather than for an image."""
    model: Callable[[], Model]
    """The network."""
    rounds: int
    """How often everything is timed; once where instructions or cycles are counted, which an
    image takes the same number of every time."""
    images: int
    """Images of a round: the fastest counts where they are counted, else their median."""
    kernels: tuple[str, ...] = KERNELS
    """The kernels to measure."""


def targets() -> list[Target]:
    """Every board whose board.toml says how its time is counted, the Unix port first."""
    found = []
    for spec in boards().values():
        if spec.bench is None:
            continue
        unit, per_us, kernels = spec.bench.unit, spec.bench.per_us, spec.bench.kernels or KERNELS
        if spec.emulator:
            # The fastest of six images: MicroPython sweeps its heap during some of them. An
            # emulator of cycles is too slow for more than one.
            images = 6 if unit == "instructions" else 1
            emulated = (f"{unit}_per_32_macs", per_us, True, cnv, images, 1, kernels)
            found.append(Target(spec.name, *emulated))
        else:
            measured = (f"{unit}_per_image", per_us, False, paper_binary, 7, 9, kernels)
            found.insert(0, Target(spec.name, *measured))
    return found


def bench_device(
    chosen: list[Target], progress: Callable[[str], None] = print, clean: bool = False
) -> dict[str, dict[str, dict[str, Any]]]:
    """Measure every kernel that loads on the chosen targets that are there.

    Args:
        chosen: of targets().
        progress: told of each kernel, and why a target is left out.
        clean: without write errors alone: no number says what they cost.

    Returns:
        target -> kernel -> numbers.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for target in chosen:
        model = target.model()
        try:
            with _device(target, model) as link:
                session = Session(link, hello_s=60.0)
                for kernel, numbers in _kernels(target, model, session, progress, clean):
                    found.setdefault(target.name, {})[kernel] = numbers
        except (ConfigError, LinkError) as error:  # what is measured already is kept
            progress(f"{target.name}: left out: {error}")
    return found


def _kernels(
    target: Target,
    model: Model,
    session: Session,
    progress: Callable[[str], None],
    only_clean: bool,
) -> Iterator[tuple[str, dict[str, Any]]]:
    images = random_images(model, target.images)
    for kernel in target.kernels:

        def device_us(*rates: float, kernel: str = kernel) -> float:
            down, up = (fail_limit(rate) for rate in (rates[0], rates[-1]))
            session.program(bytes(model.data), WriteErrors(limits=(down, up)), kernel)
            # One at a time: taking the next image's bytes would count as this one's time.
            runs = [session.run(images[at : at + 1], at) for at in range(len(images))]
            times = [int(run.device_us[0]) for run in runs]
            return float(min(times) if target.per_32_macs else median(times))

        try:
            device_us(0.0)  # the first one finds caches cold, and code that is not loaded yet
        except ConfigError as error:
            progress(f"{target.name}, {kernel}: left out: {error}")
            continue
        clean = [device_us(0.0)]
        overheads = {}
        for rates in () if only_clean else (*((rate,) for rate in RATES), *UNEVEN):
            ratios = []
            for _ in range(target.rounds):
                if target.rounds > 1:
                    clean.append(device_us(0.0))
                ratios.append(100 * device_us(*rates) / clean[-1] - 100)
            overheads[rates] = median(ratios)
        number = median(clean) * target.per_us
        if target.per_32_macs:
            number /= model.macs / 32
        numbers = {target.unit: number}
        for name, count in (("write", 1), ("uneven_write", 2)):
            percents = [percent for rates, percent in overheads.items() if len(rates) == count]
            if percents:
                numbers[f"{name}_overhead_percent"] = max(percents)
        numbers["peak_heap_bytes"] = Session(session.link).info.used_bytes
        progress(f"{target.name}, {kernel}: {numbers}")
        yield kernel, numbers


@contextmanager
def _device(target: Target, model: Model) -> Iterator[Link]:
    if target.name == "unix":
        from mtjkit_host.boards.unix_port import UnixPort

        with UnixPort() as link:
            yield link
    else:
        from mtjkit_host.runs.emulated import prepared_board

        with prepared_board(target.name, bytes(model.data), count=True) as link:
            yield link
