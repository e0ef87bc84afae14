"""The options of a run from what was typed, from a Python program's values or from a run file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.messages import KERNELS

from mtjkit_host import parse
from mtjkit_host.mtj.cell import Cell
from mtjkit_host.mtj.cell_file import cell_from_table, load_cell
from mtjkit_host.mtj.pulse_plan import PulsePlan, parse_plan, read_plan
from mtjkit_host.mtj.scheme import Pulses
from mtjkit_host.mtj.schemes import parse_scheme
from mtjkit_host.option_names import OLDER_NAMES, RATE, WEIGHT_RATE, shown_option
from mtjkit_host.parse import Given
from mtjkit_host.paths import CARRIED_MODEL, carried_inputs
from mtjkit_host.runs.model_path import model_path
from mtjkit_host.runs.options import (
    CELLS_BEFORE,
    EXPECTED,
    KINDS,
    RunOptions,
    as_limits,
)

_MAX_PULSE_NS = 1e9  # a second


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
    cells_before: Given = None,
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
    write_error_rate = _either("write_error_rate", write_error_rate, ber)
    weight_error_rate = _either("weight_error_rate", weight_error_rate, weight_ber)
    cell = _either("cell", cell, device)
    by_layer: PulsePlan | None = None
    if plan is not None:
        by_layer = read_plan(parse.path("--plan", plan))
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
        cells_before = by_layer.cells_before if cells_before is None else cells_before
    if write_error_rate is not None and pulse_ns is not None:
        raise ConfigError(f"{RATE} and --pulse-ns both set the error rate; give one of them")
    chosen = Cell() if cell is None else load_cell(parse.path("--cell", cell))
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
        data=carried_inputs(file) if data is None else _data_path(data),
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
        json=None if json is None else parse.output_path("--json", json),
        scores=None if scores is None else parse.output_path("--scores", scores),
        chip=seed_of_chip,
        disturb=None if disturb is None else parse.whole("--disturb", disturb, 0, 10**9),
        cells_before=(
            "erased"
            if cells_before is None
            else parse.choice("--cells-before", cells_before, tuple(CELLS_BEFORE))
        ),
    )
    if options.chip is not None or options.disturb is not None:
        options.write_errors  # noqa: B018 (a cell that says nothing of it is refused now)
    return options


def options_from_json(value: Any, where: str) -> RunOptions:
    """A run file's options, checked as typed ones are.

    Args:
        value: what `RunOptions.to_json` gave.
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
            cells_before=value.get("cells_before", "erased"),
        )
        options.write_errors  # noqa: B018 (checks the limits)
    except (ConfigError, KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{where}: its options are damaged: {error}") from error
    return options


def _pulse(given: object) -> float:
    """A pulse width, ns."""
    pulse = parse.number("--pulse-ns", given)
    if not 0 < pulse <= _MAX_PULSE_NS:
        raise ConfigError(f"--pulse-ns must be above 0 and at most 1e9, not {parse.shown(given)}")
    return pulse


def _data_path(data: Given) -> Path:
    if not isinstance(data, (str, Path)):
        raise ConfigError(
            f"--data takes a path, not {parse.shown(data)}; arrays go to run_twin and run_unix as "
            "images=(pixels, labels)"
        )
    return parse.path("--data", data)


def _either(name: str, value: Given, older_value: Given) -> Given:
    """The value of an option that has two names.

    Raises:
        ConfigError: both names are given.
    """
    if value is not None and older_value is not None:
        raise ConfigError(f"{OLDER_NAMES[name]} is another name of {name}; give one of them")
    return older_value if value is None else value
