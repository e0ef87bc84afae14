"""The options of a run, from the strings of a command line to checked values.

`run-unix`, `run`, `twin` and every emulated board take the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mtjkit_core.chip_errors import ChipErrors
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.messages import KERNELS
from mtjkit_core.write_errors import FLIP, KEEP, WriteErrors, fail_limit
from mtjkit_export.files import check_writable

from mtjkit_host import parse
from mtjkit_host.datasets.fetch import is_named
from mtjkit_host.mtj.cell import Cell
from mtjkit_host.mtj.cell_file import cell_from_table, load_cell
from mtjkit_host.mtj.chip import check_chip, class_limits, disturb_rates
from mtjkit_host.mtj.pulse_plan import PulsePlan, parse_plan, read_plan
from mtjkit_host.mtj.schemes import Pulses, Scheme, Traffic, parse_scheme
from mtjkit_host.paths import (
    CARRIED,
    CARRIED_IMAGES,
    CARRIED_MODEL,
    IS_CHECKOUT,
    OTHER_NAMES,
    carried_inputs,
)

KINDS = {"flip": FLIP, "keep": KEEP}
"""Kinds of errors by their names."""

Limits = tuple[tuple[int, int], ...]
"""Fail limits (down, up) of each layer: see mtjkit_core.write_errors."""


def as_lists(limits: Limits | None) -> list[list[int]] | None:
    """Limits as JSON values."""
    return None if limits is None else [list(pair) for pair in limits]


def as_limits(value: Any) -> Limits | None:
    """What `as_lists` made of limits; TypeError or ValueError if `value` is not that."""
    return None if value is None else tuple((down, up) for down, up in value)


RATE = "--write-error-rate (--ber)"
WEIGHT_RATE = "--weight-error-rate (--weight-ber)"
_SHOWN = {
    "write_error_rate": RATE,
    "weight_error_rate": WEIGHT_RATE,
    "cell": "--cell (--device)",
}
"""What messages call the options that have an older name."""


def shown_option(name: str) -> str:
    """An option of `parse_options` as a message shows it."""
    return _SHOWN.get(name, "--" + name.replace("_", "-"))


_MAX_PULSE_NS = 1e9  # a second

EXPECTED = Traffic.even()
"""What pulses are chosen for: half of the written bits toggle, as many up as down."""


@dataclass(frozen=True)
class RunOptions:
    """What to run, on which images, through which memory. `parse_options` makes it."""

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
        if self.chip is None and self.disturb is None:
            return mean
        disturb = 0 if self.disturb is None else (self.disturb_limits,)
        if self.chip is None:
            return ChipErrors(mean.seed, mean.kind, mean.limits, mean.weight_limits, disturb)
        maps, weights = self.class_limits
        return ChipErrors(mean.seed, mean.kind, 0, 0, disturb, 0, self.chip, maps, weights)

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
        """The options as JSON values, to be read by `from_json`; without the file for a result."""
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
        }

    @staticmethod
    def from_json(value: Any, where: str) -> RunOptions:
        """A run file's options, checked as typed ones are.

        Args:
            value: what `to_json` gave.
            where: what messages begin with: the file.

        Raises:
            FormatError: they are damaged.
        """
        names = ("model", "data", "images", "ber", "weight_ber", "errors", "seed", "kernel")
        try:
            pulse, plan = value["pulse_ns"], value.get("plan")
            if not isinstance(plan, str | None):
                raise TypeError("plan is not a text")
            options = replace(
                parse_options(**{name: value[name] for name in names}),
                cell=cell_from_table(value["device"]),
                scheme=parse_scheme(str(value.get("scheme", "fixed"))).name,
                plan=None if plan is None else parse_plan(plan, where),
                given_pulse_ns=None if pulse is None else _pulse(pulse),
                limits=as_limits(value["limits"]),
                weight_limits=as_limits(value["weight_limits"]),
                chip=value.get("chip"),
                disturb=value.get("disturb"),
            )
            options.write_errors  # noqa: B018 (checks the limits)
        except (ConfigError, KeyError, TypeError, ValueError) as error:
            raise FormatError(f"{where}: its options are damaged: {error}") from error
        return options


Given = str | float | Path | None
"""An option as typed, or as a Python program writes it; None where it was not given."""


def parse_options(
    *,
    model: Given = None,
    data: Given = None,
    images: Given = None,
    write_error_rate: Given = None,
    pulse_ns: Given = None,
    weight_error_rate: Given = None,
    errors: Given = None,
    cell: Given = None,
    scheme: Given = None,
    plan: Given = None,
    seed: Given = None,
    kernel: Given = None,
    json: Given = None,
    scores: Given = None,
    chip: Given = None,
    disturb: Given = None,
    ber: Given = None,
    weight_ber: Given = None,
    device: Given = None,
) -> RunOptions:
    """Check options as typed or as Python values: numbers as numbers, paths as paths.

    `ber`, `weight_ber` and `device` are the older names of `write_error_rate`,
    `weight_error_rate` and `cell`.

    Raises:
        ConfigError: one line that names the option and says what it takes.
    """
    write_error_rate = _either("write_error_rate", write_error_rate, "ber", ber)
    weight_error_rate = _either("weight_error_rate", weight_error_rate, "weight_ber", weight_ber)
    cell = _either("cell", cell, "device", device)
    by_layer: PulsePlan | None = None
    if plan is not None:
        by_layer = read_plan(_path("--plan", plan))
        given = {
            "write_error_rate": write_error_rate, "pulse-ns": pulse_ns, "errors": errors,
            "cell": cell, "scheme": scheme,
        }  # fmt: skip
        if by_layer.weights:
            given["weight_error_rate"] = weight_error_rate
        for name, value in given.items():
            if value is not None:
                raise ConfigError(f"--plan says that already: leave {shown_option(name)} out")
        by_layer.check_model(CARRIED_MODEL if model is None else model_path(model))
        errors = by_layer.errors
    if write_error_rate is not None and pulse_ns is not None:
        raise ConfigError(f"{RATE} and --pulse-ns both set the error rate; give one of them")
    chosen = Cell() if cell is None else load_cell(_path("--cell", cell))
    written = parse_scheme("fixed" if scheme is None else str(scheme))
    if by_layer is not None:
        chosen, written = by_layer.cell, parse_scheme(by_layer.scheme)
    pulse: float | None = None
    if pulse_ns is not None:
        pulse = _pulse(pulse_ns)
        rate = EXPECTED.mean(*written.rates(chosen, Pulses(pulse, pulse), EXPECTED))
    elif write_error_rate is not None:
        rate = parse.rate(RATE, write_error_rate)
    else:
        rate = RunOptions.write_error_rate
    seed_of_chip = chosen.variation.chip
    if chip is not None:
        seed_of_chip = parse.whole("--chip", chip, 0, 2**64 - 1)
    file = CARRIED_MODEL if model is None else model_path(model)
    options = RunOptions(
        model=file,
        data=carried_inputs(file) if data is None else _path("--data", data),
        images=None if images is None else parse.whole("--images", images, 1, 2**30 - 1),
        write_error_rate=rate,
        given_pulse_ns=pulse,
        weight_error_rate=(
            0.0 if weight_error_rate is None else parse.rate(WEIGHT_RATE, weight_error_rate)
        ),
        errors="flip" if errors is None else parse.choice("--errors", errors, tuple(KINDS)),
        cell=chosen,
        scheme=written.name,
        plan=by_layer,
        limits=None if by_layer is None else by_layer.limits,
        weight_limits=by_layer.weight_limits if by_layer is not None else None,
        seed=0 if seed is None else parse.whole("--seed", seed, 0, 2**64 - 1),
        kernel="auto" if kernel is None else parse.choice("--kernel", kernel, KERNELS),
        json=None if json is None else output_path("--json", json),
        scores=None if scores is None else output_path("--scores", scores),
        chip=seed_of_chip,
        disturb=None if disturb is None else parse.whole("--disturb", disturb, 0, 10**9),
    )
    if options.chip is not None or options.disturb is not None:
        options.write_errors  # noqa: B018 (a cell that says nothing of it is refused now)
    return options


def _pulse(given: object) -> float:
    """A pulse width, ns."""
    pulse = parse.number("--pulse-ns", given)
    if not 0 < pulse <= _MAX_PULSE_NS:
        raise ConfigError(f"--pulse-ns must be above 0 and at most 1e9, not {parse.shown(given)}")
    return pulse


def _either(name: str, value: Given, older: str, older_value: Given) -> Given:
    """The value of an option that has two names.

    Raises:
        ConfigError: both names are given.
    """
    if value is not None and older_value is not None:
        raise ConfigError(f"{older} is another name of {name}; give one of them")
    return older_value if value is None else value


def model_path(value: str | float | Path) -> Path:
    """Return the file that is meant by a path, or by the name of a model that mtjkit carries.

    Raises:
        ConfigError: the text is not a path; it names a fixed-point net, which runs do not take; or
            it is a bare name, and neither a file nor a carried model has it.
    """
    path = _path("--model", value)
    inside = path.suffix == ".mtjb" and path.parent.resolve() == CARRIED  # an older run file's
    if path.suffix != ".safetensors" and (
        path.exists() or (str(value) != path.name and not inside)
    ):
        return path
    name = path.stem if inside else path.name
    carried = CARRIED / f"{OTHER_NAMES.get(name, name)}.mtjb"
    if carried.is_file():
        return carried
    if path.suffix == ".safetensors" or carried.with_suffix(".safetensors").is_file():
        raise ConfigError(
            f"--model {value} is a fixed-point net, which boards and the twin do not compute; "
            "`campaign` measures it, `export --format tflite` writes an int8 file"
        )
    if path.suffix:
        return path
    names = ", ".join(sorted(file.stem for file in CARRIED.glob("*.mtjb")))
    more = "" if IS_CHECKOUT else "; pip install mtjkit-nets brings the larger ones"
    raise ConfigError(f"--model {value}: no such file, and the carried models are {names}{more}")


def _path(option: str, value: str | float | Path) -> Path:
    if not isinstance(value, (str, Path)) or not str(value) or "\0" in str(value):
        raise ConfigError(f"{option} takes a path, not {value!r}")
    return Path(value)


def output_path(option: str, value: str | float | Path) -> Path:
    """A file to be written at the end of a long run: what can be refused is refused before it.

    Args:
        option: what messages begin with.
        value: the file as typed.

    Raises:
        ConfigError: no file can be written there.
    """
    path = _path(option, value)
    if path.is_dir():
        raise ConfigError(f"{option} takes a file to write, {path} is a folder")
    try:
        check_writable(path)
    except ConfigError as error:
        raise ConfigError(f"{option}: {error}") from None
    return path
