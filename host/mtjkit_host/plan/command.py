"""`invoke calibrate` and `invoke plan`: options as typed in, files and a table out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import CERTAIN, WriteErrors, fail_limit
from mtjkit_export.files import check_writable, file_sha256, same_file, write_atomically
from mtjkit_export.formats.mtjb_reader import load
from numpy.typing import NDArray
from rich.table import Table

from mtjkit_host import parse
from mtjkit_host.datasets.dataset import shared
from mtjkit_host.datasets.images import load_images, to_input
from mtjkit_host.machine import tell
from mtjkit_host.mtj.cell import Cell
from mtjkit_host.mtj.cell_file import load_cell
from mtjkit_host.mtj.pulse_plan import PulsePlan, read_plan
from mtjkit_host.mtj.scheme import Pulses
from mtjkit_host.mtj.schemes import parse_scheme
from mtjkit_host.option_names import RATE
from mtjkit_host.parse import Given
from mtjkit_host.paths import carried_inputs
from mtjkit_host.plan.calibrate import PICTURES, calibrate
from mtjkit_host.plan.levers import levers
from mtjkit_host.plan.loss import (
    Loss,
    changed,
    loss_of,
    process_of,
    right_without_errors,
)
from mtjkit_host.plan.search import Found, Search
from mtjkit_host.progress import bar
from mtjkit_host.runs.energy import RunEnergy
from mtjkit_host.runs.model_path import model_path
from mtjkit_host.runs.options import CELLS_BEFORE, KINDS, RunOptions
from mtjkit_host.simulate.polarity import PICTURES as SIGN_PICTURES
from mtjkit_host.simulate.polarity import described as described_signs
from mtjkit_host.simulate.polarity import fewer_ones

ENOUGH = 2000
"""Pictures to confirm a loss on; with fewer the tool says that nothing is confirmed."""
_DEFAULT_LOSS = 0.03
_WITH_ERASING, _IN_REUSE = "saving_with_erasing_percent", "saving_in_reuse_percent"


def run_calibrate(
    model: Given,
    output: Given,
    data: Given = None,
    images: Given = None,
    write_error_rate: Given = None,
    errors: Given = None,
    plan: Given = None,
    seed: Given = None,
    cells_before: Given = None,
) -> Table:
    """Set a model's thresholds for write errors, and write the result as a model file.

    Half of the pictures, but at most PICTURES, set the thresholds; the others are scored.

    Raises:
        ConfigError, FormatError: an option, the model or the pictures cannot be used.
    """
    path, net, inputs, labels = _read(model, data, images)
    target = _target(output, "the calibrated model")
    first = 0 if seed is None else parse.whole("--seed", seed, 0, 2**64 - 1)
    limits: Any
    if plan is not None:
        if write_error_rate is not None or errors is not None:
            raise ConfigError("--plan sets rates and kind of errors; leave the other options out")
        given = read_plan(str(plan))
        given.check_model(path)
        kind, limits, what = given.errors, given.limits, f"plan {plan}"
        cells_before = given.cells_before if cells_before is None else cells_before
    else:
        rate = (
            RunOptions.write_error_rate
            if write_error_rate is None
            else parse.rate(RATE, write_error_rate)
        )
        kind = "flip" if errors is None else parse.choice("--errors", errors, tuple(KINDS))
        limits = fail_limit(rate)
        what = f"write-error rate {100 * rate:g} %, errors {kind}"
    reused = _reused(cells_before)
    if reused:
        what += ", over random bits"
    process = process_of(first, KINDS[kind], limits, reused=reused)
    count = min(PICTURES, len(inputs) // 2)
    if not count:
        raise ConfigError("--data: calibration takes at least two pictures")
    _both(inputs[:count], inputs[count:], "score are among those that set the thresholds")
    rest = slice(count, None)
    right = None
    if labels is not None:
        right = right_without_errors(net, inputs[rest], labels[rest])
    with bar("time") as progress:
        task = progress.add_task("thresholds", total=len(net.layers) - 1)
        made = calibrate(
            net, inputs[:count], process, lambda n, of: progress.update(task, completed=n)
        )
    write_atomically(target, bytes(made.data))
    table = Table("", "as trained", "calibrated", title=f"{net.name}, {what}")
    if right is not None and labels is not None:
        rows = [
            ("with errors", process),
            ("without errors", WriteErrors(first)),
        ]
        for name, e in rows:
            cells = [
                loss_of(right, m, inputs[rest], labels[rest], e, count).accuracy
                for m in (net, made)
            ]
            table.add_row(f"accuracy {name}", *(f"{100 * a:.2f} %" for a in cells))
    table.add_row("pictures to calibrate, to score", f"{count}", f"{len(inputs) - count}")
    table.add_row("written", "", str(target))
    return table


def run_plan(
    model: Given,
    output: Given,
    data: Given = None,
    images: Given = None,
    loss: Given = None,
    errors: Given = None,
    calibrated: bool = False,
    cell: Given = None,
    scheme: Given = None,
    seed: Given = None,
    reference: Given = None,
    weight_loss: Given = None,
    with_levers: bool = False,
    polarity: bool = False,
    confident: bool = False,
    cells_before: Given = None,
) -> list[Table]:
    """Find the pulses of a plan, confirm its loss on other pictures, and write its file.

    The even pictures are searched on, the odd ones confirm. `polarity` stores channels that are
    mostly 1 with the other sign first: no score changes, and fewer bits toggle. `confident` leaves
    so much room that the whole interval of the confirmed loss is likely within the accepted one.

    Returns:
        The plan's table, and that of the levers if it is asked for.

    Raises:
        ConfigError, FormatError: an option, the model or the pictures cannot be used.
    """
    path, net, inputs, labels = _read(model, data, images)
    target = _target(output, "the plan")
    beside = target.with_suffix(".mtjb") if calibrated or polarity else None
    if beside is not None:
        check_writable(beside)
        if target == beside:
            raise ConfigError(f"--output {target}: the plan's name ends in .toml, not in .mtjb")
        for used in (path, *([] if reference is None else [model_path(reference)])):
            if same_file(beside, used):
                raise ConfigError(f"--output {target}: the model beside it would overwrite {used}")
    limit = _share("--loss", loss, _DEFAULT_LOSS)
    reused = _reused(cells_before)
    of_weights = None if weight_loss is None else _share("--weight-loss", weight_loss, limit)
    if of_weights is not None and of_weights >= limit:
        raise ConfigError(f"--weight-loss is a part of --loss, so below {limit:g}: {weight_loss}")
    kind = "flip" if errors is None else parse.choice("--errors", errors, tuple(KINDS))
    first = 0 if seed is None else parse.whole("--seed", seed, 0, 2**64 - 1)
    chosen = Cell() if cell is None else load_cell(str(cell))
    way = parse_scheme("fixed" if scheme is None else str(scheme))
    if way.reads_first and kind == "flip":
        raise ConfigError(
            f"--scheme {way.name} leaves bits alone that are right already: take --errors keep"
        )
    if labels is None:
        raise ConfigError("--data: a plan takes labelled pictures")
    if len(inputs) < 4:
        raise ConfigError(f"--data: a plan takes at least four pictures, not {len(inputs)}")
    trained = path if reference is None else model_path(reference)
    counted = load(trained)
    searched, held = slice(0, None, 2), slice(1, None, 2)
    twice = _both(inputs[searched], inputs[held], "confirm are among those that are searched on")
    right = right_without_errors(counted, inputs[held], labels[held])

    def tells(text: str) -> None:
        tell(f"plan: {text}")

    if polarity:
        signed = fewer_ones(net, inputs[searched][:SIGN_PICTURES])
        tells(described_signs(signed))
        net = signed.model
    base, weights = process_of(first, KINDS[kind], reused=reused), None
    if of_weights is not None:
        tells("pulses of the weights")
        search = Search(
            net, inputs[searched], labels[searched], base, chosen, way, False, tells, counted, True
        )
        weights = search.run(of_weights)
        base = changed(base, weight_limits=[layer.limits for layer in weights.layers])
    search = Search(
        net, inputs[searched], labels[searched], base, chosen, way, calibrated, tells, counted,
        confirmed_on=len(inputs[held]) if confident else None,
    )  # fmt: skip
    found = search.run(limit)
    process = changed(base, limits=[layer.limits for layer in found.layers])
    confirmed = loss_of(right, found.model, inputs[held], labels[held], process)
    if beside is not None:
        write_atomically(beside, bytes(found.model.data))
    measured = {
        "accepted_loss": limit,
        "loss": confirmed.loss,
        "loss_95": list(confirmed.interval),
        "pictures": confirmed.pictures,
        "pictures_seen": twice,
        "accuracy": confirmed.accuracy,
        "error_free_accuracy": confirmed.error_free,
        "saving_percent": found.saving_percent,
        "single_pulse_saving_percent": found.single_saving_percent,
        "toggle_share": search.memory.traffic.toggle_share,
        "verdict": _verdict(confirmed, limit),
    }
    if weights is not None:
        measured["weights_saving_percent"] = weights.saving_percent
    measured |= _by_old_bits(search, found)
    made = PulsePlan(
        found.model.name,
        file_sha256(path if beside is None else beside),
        kind,
        chosen,
        way.name,
        found.layers,
        measured,
        () if weights is None else weights.layers,
        file_sha256(trained),
        "random" if reused else "erased",
    )
    write_atomically(target, made.to_toml().encode())
    tables = [_table(net, made, found, weights, confirmed, target, beside)]
    if with_levers:
        tells("levers")
        tables.append(levers(search, found, limit))
    return tables


def _by_old_bits(search: Search, found: Found) -> dict[str, float]:
    """What the plan saves where the erasing before an image is paid, and in steady reuse."""
    m = search.memory
    layers = zip(m.bits / m.bits.sum(), found.layers, strict=True)
    each = tuple((float(share), one.pulses, one.traffic) for share, one in layers if share)
    longest = Pulses(*(max(one[1][way] for one in each) for way in (0, 1)))
    energy = RunEnergy(m.cell, m.scheme, longest, m.counts, each, m.reused)
    return {_WITH_ERASING: energy.with_erasing_percent, _IN_REUSE: energy.steady_percent}


def _reused(cells_before: Given) -> bool:
    """Whether cells hold random bits before an image; by default they are erased."""
    if cells_before is None:
        return False
    return parse.choice("--cells-before", cells_before, tuple(CELLS_BEFORE)) == "random"


def _share(option: str, value: Given, default: float) -> float:
    found = default if value is None else parse.rate(option, value, "a share")
    if not 0 < found < 1:
        raise ConfigError(f"{option} lies between 0 and 1, not {value}")
    return found


def _verdict(loss: Loss, limit: float) -> str:
    if loss.pictures < ENOUGH:
        return f"not confirmed: {loss.pictures} pictures tell too little, {ENOUGH} are needed"
    if loss.interval[1] <= limit:
        return "confirmed: the whole interval is within the accepted loss"
    if loss.loss <= limit:
        return "met, but the interval reaches beyond the accepted loss"
    return "missed: the loss is above the accepted one"


def _table(
    net: Model,
    plan: PulsePlan,
    found: Found,
    weights: Found | None,
    loss: Loss,
    target: Path,
    beside: Path | None,
) -> Table:
    table = Table("", "", title=f"{net.name}: pulses by layer", show_header=False)
    low, high = (100 * end for end in loss.interval)
    _add_pulses(table, "", found)
    saved = f"{found.saving_percent:.1f} % against a fixed pulse at 1e-8"
    if loss.accuracy <= 1.5 / net.outcomes:
        saved += f"\nworth nothing: accuracy near chance ({100 / net.outcomes:.3g} %)"
    table.add_row("write energy saved", saved)
    if plan.cells_before == "random":
        table.add_row("cells before an image", "random bits: nothing is erased")
    else:
        erasing, reuse = (plan.found[name] for name in (_WITH_ERASING, _IN_REUSE))
        table.add_row("erasing paid", f"{erasing:.1f} % saved")
        reused = f"{reuse:.1f} % saved"
        if plan.errors == "keep":  # a failed write leaves what reuse has left there
            reused += "; its loss is larger: plan with --cells-before random"
        table.add_row("steady reuse", reused)
    table.add_row(
        "best single pulse", f"{found.single_saving_percent:.1f} %, rate {found.single_rate:.2%}"
    )
    if weights is not None:
        _add_pulses(table, "weights: ", weights)
        table.add_row(
            "weights: saved", f"{weights.saving_percent:.1f} % of the energy to program them; "
            f"best single pulse {weights.single_saving_percent:.1f} %",
        )  # fmt: skip
    table.add_row("loss", f"{100 * loss.loss:.2f} % (95 %: {low:.2f} to {high:.2f})")
    seen = f", but for {plan.found['pictures_seen']}" if plan.found["pictures_seen"] else ""
    table.add_row(
        "accuracy", f"{loss.accuracy:.2%}; without errors {loss.error_free:.2%}; "
        f"{loss.pictures} pictures that the search has not seen{seen}",
    )  # fmt: skip
    table.add_row("", str(plan.found["verdict"]))
    table.add_row("cell", f"{plan.cell.describe()}, {plan.cell.population}")
    toggle = 100 * plan.found["toggle_share"]
    table.add_row(
        "scheme, errors", f"{plan.scheme}, {toggle:.1f} % of the bits toggle; {plan.errors}"
    )
    table.add_row("written", str(target) if beside is None else f"{target}, {beside}")
    return table


def _add_pulses(table: Table, which: str, found: Found) -> None:
    same = all(p.pulses.down_ns == p.pulses.up_ns for p in found.layers)
    for way, word in enumerate(("",) if same else (" down", " up")):
        rates = [p.limits[way] / CERTAIN for p in found.layers]
        table.add_row(f"{which}write-error rates{word}", _percents(rates))
        table.add_row(f"{which}pulse widths{word}", _widths([p.pulses[way] for p in found.layers]))


def _percents(rates: list[float]) -> str:
    return ", ".join(f"{100 * rate:.2g}" for rate in rates) + " %"


def _widths(ns: list[float]) -> str:
    return ", ".join(f"{width:.1f}" for width in ns) + " ns"


def _read(
    model: Given, data: Given, images: Given
) -> tuple[Path, Model, NDArray[np.int8], NDArray[np.int64] | None]:
    if model is None:
        raise ConfigError("--model names the model: a file, or a carried one")
    path = model_path(model)
    net = load(path)
    count = None if images is None else parse.whole("--images", images, 1, 2**30 - 1)
    found = load_images(carried_inputs(path) if data is None else str(data), net, count).told()
    return path, net, to_input(net, found.images), found.labels


def _both(first: NDArray[np.int8], others: NDArray[np.int8], are: str) -> int:
    """How many of the others are among the first pictures too, byte for byte; says so."""
    twice = shared(first, others)
    if twice:
        tell(
            f"--data: {twice} of {len(others)} pictures that {are} too (the same picture comes "
            "twice), so the accuracy says less of new pictures"
        )
    return twice


def _target(value: Given, what: str) -> Path:
    if value is None:
        raise ConfigError(f"--output names the file for {what}")
    return parse.output_path("--output", value)
