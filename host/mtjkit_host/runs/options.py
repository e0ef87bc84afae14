"""The options of a run, and what follows from them: the error process, pulses, rates.

`run-unix`, `run`, `twin` and every emulated board take the same ones; `parse_options` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mtjkit_core.chip_errors import ERASED, RANDOM, ChipErrors
from mtjkit_core.errors import ConfigError
from mtjkit_core.messages import KERNELS
from mtjkit_core.write_errors import FLIP, KEEP, WriteErrors, fail_limit

from mtjkit_host import parse
from mtjkit_host.datasets.fetch import is_named
from mtjkit_host.mtj import pulse_plan
from mtjkit_host.mtj.cell import Cell
from mtjkit_host.mtj.chip import check_chip, class_limits, disturb_rates
from mtjkit_host.mtj.pulse_plan import PulsePlan
from mtjkit_host.mtj.scheme import Pulses, Scheme, Traffic
from mtjkit_host.mtj.schemes import parse_scheme
from mtjkit_host.paths import CARRIED_IMAGES, CARRIED_MODEL
from mtjkit_host.runs.model_path import model_path

KINDS = {"flip": FLIP, "keep": KEEP}
"""Kinds of errors by their names."""

CELLS_BEFORE = dict(zip(pulse_plan.CELLS_BEFORE, (ERASED, RANDOM), strict=True))
"""What cells of feature maps hold before an image, by its names."""

Limits = tuple[tuple[int, int], ...]
"""Fail limits (down, up) of each layer: see mtjkit_core.write_errors."""


def as_lists(limits: Limits | None) -> list[list[int]] | None:
    """Limits as JSON values."""
    return None if limits is None else [list(pair) for pair in limits]


def as_limits(value: Any) -> Limits | None:
    """What `as_lists` made of limits; TypeError or ValueError if `value` is not that."""
    return None if value is None else tuple((down, up) for down, up in value)


EXPECTED = Traffic.even()
"""What pulses are chosen for: half of the written bits toggle, as many up as down."""


@dataclass(frozen=True)
class RunOptions:
    """What to run, on which images, through which memory; `parse_options` makes it."""

    model: Path = CARRIED_MODEL
    """Model file (.mtjb)."""
    data: Path = CARRIED_IMAGES
    """The data set: what `mtjkit_host.datasets.load.load_dataset` takes."""
    images: int | None = None
    """How many images; None for all. They are drawn evenly over the classes, by the seed; of
    CIFAR's files the first ones are taken."""
    write_error_rate: float = 0.024
    """Write-error rate of feature maps, 0..1."""
    given_pulse_ns: float | None = None
    """Pulse width for feature maps, ns, where the rate was computed from a pulse width."""
    weight_error_rate: float = 0.0
    """Write-error rate of weights, 0..1."""
    errors: str = "flip"
    """"flip": an error inverts the written bit; "keep": it leaves the old bit."""
    cell: Cell = field(default_factory=Cell)
    """The MTJ cell."""
    seed: int = 0
    """Seed of every random stream, 0..2**64 - 1."""
    kernel: str = "auto"
    """The device's kernel; the twin has its own arithmetic and takes no notice."""
    json: Path | None = None
    """File for the result as JSON; None for no file."""
    scores: Path | None = None
    """File for the scores as an array, .npy, (n, classes) int32; None for no file."""
    scheme: str = "fixed"
    """The write scheme: see mtjkit_host.mtj.schemes.SCHEMES."""
    plan: PulsePlan | None = None
    """Pulse widths of feature maps by layer and direction; `limits` are then the plan's."""
    limits: Limits | None = None
    """Fail limits of feature maps, (down, up) of each hidden layer, where they are not all those
    of `write_error_rate`."""
    weight_limits: Limits | None = None
    """Fail limits of weights, (down, up) of each layer, where they are not all those of
    `weight_error_rate`."""
    chip: int | None = None
    """Seed of a chip whose cells differ as the cell's variation says; None: each cell fails at the
    mean rate."""
    disturb: int | None = None
    """How often a feature map's bit is read: what the cell's [read] and [retention] may lose of
    it; None: nothing is lost."""
    cells_before: str = "erased"
    """What cells of feature maps hold before an image: "erased": 0 everywhere; "random": random
    bits, as in a memory that is never erased."""

    def __post_init__(self) -> None:
        """Check the words, which look options up; rates and limits are `write_errors`' to check.

        Raises:
            ConfigError: one of them is unknown, a path is none, or no carried model has this name.
        """
        if not isinstance(self.data, (str, Path)):
            raise ConfigError("data is a path; arrays are taken by run_twin(options, images=array)")
        object.__setattr__(self, "model", model_path(self.model))
        parse.choice("errors", self.errors, tuple(KINDS))
        parse.choice("kernel", self.kernel, KERNELS)
        parse.choice("cells_before", self.cells_before, tuple(CELLS_BEFORE))
        if self.write_scheme.reads_first and self.errors == "flip":
            raise ConfigError(
                f"--scheme {self.scheme} writes only bits that differ, so no other bit can fail: "
                "give --errors keep"
            )

    @cached_property
    def write_scheme(self) -> Scheme:
        """The write scheme."""
        return parse_scheme(self.scheme)

    @property
    def ber(self) -> float:
        """`write_error_rate` under its older name."""
        return self.write_error_rate

    @property
    def weight_ber(self) -> float:
        """`weight_error_rate` under its older name."""
        return self.weight_error_rate

    @property
    def map_rate(self) -> float | None:
        """Write-error rate of all feature maps; None where `limits` tell it by layer."""
        return self.write_error_rate if self.limits is None else None

    @property
    def weight_rate(self) -> float | None:
        """Write-error rate of all weights; None where `weight_limits` tell it by layer."""
        return self.weight_error_rate if self.weight_limits is None else None

    @cached_property
    def write_errors(self) -> WriteErrors:
        """The error process of the run.

        Raises:
            ConfigError: the seed, a rate or a limit is out of range.
        """
        mean = self.mean_errors
        before = CELLS_BEFORE[self.cells_before]
        if self.chip is None and self.disturb is None and before == ERASED:
            return mean
        disturb = 0 if self.disturb is None else (self.disturb_limits,)
        rest: dict[str, Any] = {"disturb": disturb, "before": before}
        if self.chip is None:
            return ChipErrors(mean.seed, mean.kind, mean.limits, mean.weight_limits, **rest)
        maps, weights = self.class_limits
        rest.update(chip=self.chip, classes=maps, weight_classes=weights)
        return ChipErrors(mean.seed, mean.kind, **rest)

    @cached_property
    def mean_errors(self) -> WriteErrors:
        """The error process with each cell at the mean rate, and nothing disturbed.

        Raises:
            ConfigError: the seed, a rate or a limit is out of range.
        """
        limits = self._limits_of(self.write_error_rate, self.pulses)
        weight_limits = self._limits_of(self.weight_error_rate, self.weight_pulses)
        if self.limits is not None:
            limits = self.limits
        if self.weight_limits is not None:
            weight_limits = self.weight_limits
        return WriteErrors(self.seed, KINDS[self.errors], limits, weight_limits)

    @cached_property
    def class_limits(self) -> tuple[list[list[tuple[int, int]]], list[list[tuple[int, int]]]]:
        """Fail limits (down, up) by class of the chip's cells, then by layer: maps, weights.

        Raises:
            ConfigError: the cells do not differ, or limits without pulses are given.
        """
        check_chip(self.cell)
        if self.weight_limits is not None or (self.limits is not None and self.plan is None):
            raise ConfigError("--chip takes rates or pulses, not fail limits")
        maps = [self.pulses] if self.plan is None else [one.pulses for one in self.plan.layers]
        found = []
        for layers in (maps, [self.weight_pulses]):
            each = [class_limits(self.cell, self.write_scheme, p, EXPECTED) for p in layers]
            found.append([list(by_layer) for by_layer in zip(*each, strict=True)])
        return found[0], found[1]

    @cached_property
    def disturb_limits(self) -> tuple[int, int]:
        """Limits of bits stored 0 and 1 of feature maps.

        Raises:
            ConfigError: the cell says nothing of reads and retention.
        """
        zero, one = disturb_rates(self.cell, self.disturb or 0)
        return fail_limit(zero), fail_limit(one)

    @property
    def rates(self) -> list[float]:
        """The write-error rates, of which one below the memory's resolution is taken as 0.

        By direction, where directions differ; none where fail limits are given.
        """
        found: list[float] = []
        for rate, pulses, limits in (
            (self.write_error_rate, self.pulses, self.limits),
            (self.weight_error_rate, self.weight_pulses, self.weight_limits),
        ):
            if limits is None:
                found += self._directions(rate, pulses)
        return found

    def _directions(self, rate: float, pulses: Pulses | None) -> tuple[float, ...]:
        if pulses is None or (self.cell.symmetric and pulses.down_ns == pulses.up_ns):
            return (rate,)
        return tuple(self.write_scheme.rates(self.cell, pulses, EXPECTED))

    def _limits_of(self, rate: float, pulses: Pulses | None) -> int | Limits:
        """Fail limits that leave the mean rate `rate`: by direction, where directions differ."""
        rates = self._directions(rate, pulses)
        if len(rates) == 1:
            return fail_limit(rates[0])
        return ((fail_limit(rates[0]), fail_limit(rates[1])),)

    @cached_property
    def pulses(self) -> Pulses | None:
        """Pulse widths for feature maps; None for rate 0, or where there are several rates."""
        if self.limits is not None:
            return None
        if self.given_pulse_ns is not None:
            return Pulses(self.given_pulse_ns, self.given_pulse_ns)
        return self._pulses_for(self.write_error_rate)

    @cached_property
    def weight_pulses(self) -> Pulses | None:
        """Pulse widths for weights; None for rate 0, or several rates."""
        return None if self.weight_limits is not None else self._pulses_for(self.weight_error_rate)

    def _pulses_for(self, rate: float) -> Pulses | None:
        return self.write_scheme.pulses_for(self.cell, rate, EXPECTED) if rate else None

    @property
    def pulse_ns(self) -> float | None:
        """Pulse width for feature maps, ns, the longer one where directions differ.

        None where no pulse is long enough (rate 0), or there are several rates.
        """
        return None if self.pulses is None else self.pulses.longest_ns

    @property
    def weight_pulse_ns(self) -> float | None:
        """Pulse width for weights, ns; None for rate 0, or several rates."""
        return None if self.weight_pulses is None else self.weight_pulses.longest_ns

    def to_json(self) -> dict[str, Any]:
        """The options as JSON values, which `options_from_json` reads; no files for results."""
        return {
            "model": str(self.model.absolute()),
            "data": str(self.data if is_named(self.data) else self.data.absolute()),
            "images": self.images,
            "ber": self.write_error_rate,
            "pulse_ns": self.given_pulse_ns,
            "weight_ber": self.weight_error_rate,
            "errors": self.errors,
            "device": self.cell.to_json(),
            "scheme": self.scheme,
            "plan": None if self.plan is None else self.plan.to_toml(),
            "seed": self.seed,
            "kernel": self.kernel,
            "limits": as_lists(self.limits),
            "weight_limits": as_lists(self.weight_limits),
            "chip": self.chip,
            "disturb": self.disturb,
            "cells_before": self.cells_before,
        }
