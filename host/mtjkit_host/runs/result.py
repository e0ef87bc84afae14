"""What a run found: as JSON for programs, as a short table for people."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from mtjkit_core.model import Model
from mtjkit_core.write_errors import CERTAIN, COUNTS
from mtjkit_export.heap import heap_in_use
from mtjkit_export.predictions import predictions
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from mtjkit_host.boards.catalog import boards, microcontrollers
from mtjkit_host.datasets.dataset import Dataset
from mtjkit_host.mtj.chip import disturb_rates, resolution_doubts
from mtjkit_host.runs.energy import RunEnergy
from mtjkit_host.runs.options import Limits, RunOptions, as_lists


@dataclass(frozen=True)
class Result:
    """One run of a model over images, and what follows from it."""

    backend: str
    """twin, serial, or the name of a board."""
    kernel: str
    """The kernel that ran."""
    options: RunOptions
    """What was asked for."""
    model: Model
    """The model as its file has it, without weight errors."""
    images: Dataset
    """What was classified."""
    scores: NDArray[np.int32]
    """(n, classes), in image order."""
    error_free_scores: NDArray[np.int32]
    """(n, classes), from the twin without any error."""
    bits: tuple[int, ...]
    """Feature-map bits over all images and without padding: mtjkit_core.write_errors.COUNTS."""
    weight_bits: tuple[int, int]
    """Weight bits written and wrong."""
    seconds: float
    """Wall time of the images."""
    device_us_per_image: float
    """Mean time in the engine that ran, microseconds an image."""
    device_us_median: float = 0.0
    """Median of the same: a sweep of the heap or a busy host moves it little."""
    resumed: int = 0
    """Images whose results an earlier part of the run has left; `seconds` is without them."""

    @cached_property
    def predictions(self) -> NDArray[np.intp]:
        """Class of each image, (n,)."""
        return predictions(self.model, self.scores)

    @cached_property
    def error_free_predictions(self) -> NDArray[np.intp]:
        """The same of the error-free scores."""
        return predictions(self.model, self.error_free_scores)

    @property
    def correct(self) -> int | None:
        """Images classified as labelled; None without labels."""
        return hits(self.predictions, self.images.labels)

    @property
    def error_free_correct(self) -> int | None:
        """Images that the error-free twin classifies as labelled; None without labels."""
        return hits(self.error_free_predictions, self.images.labels)

    @property
    def scores_sha256(self) -> str:
        """Hash of the scores, (n, classes) int32 little-endian in image order."""
        return hashlib.sha256(self.scores.astype("<i4").tobytes()).hexdigest()

    @cached_property
    def energy(self) -> RunEnergy | None:
        """Modelled energy of writing feature maps; None for rate 0, or limits without pulses."""
        o = self.options
        reused = o.cells_before == "random"
        if o.plan is not None:
            bits = [layer.map_bits for layer in self.model.layers[:-1]]
            return RunEnergy.of_plan(o.plan, bits, self.bits, reused)
        if o.pulses is None:
            return None
        return RunEnergy(o.cell, o.write_scheme, o.pulses, self.bits, reused=reused)

    @property
    def energy_per_bit_pj(self) -> float | None:
        """Modelled energy of writing one feature-map bit.

        None where no pulse is long enough, or the cell states no current and voltage.
        """
        return None if self.energy is None else self.energy.per_bit_pj

    @property
    def saving_percent(self) -> float | None:
        """Modelled energy saved against writing at the reference rate of 1e-8."""
        return None if self.energy is None else self.energy.saving_percent

    @property
    def reference_per_bit_pj(self) -> float | None:
        """Modelled energy of writing one bit at the reference rate; None without power."""
        if self.energy is not None:
            return self.energy.reference_per_bit_pj
        cell = self.options.cell
        return cell.reference_energy_pj if cell.has_power else None

    @property
    def heap_in_use(self) -> int | None:
        """Bytes of heap in use while the board classifies, foreseen.

        None for the twin and for boards that the catalog does not name.
        """
        spec = boards().get(self.backend)
        if spec is None or spec.processor is None or self.kernel not in spec.processor.shares:
            return None
        mapped = 0 < spec.serial_bytes < len(self.model.data)
        return heap_in_use(self.model, spec.processor, self.kernel, mapped)

    @property
    def heap_at_most(self) -> int | None:
        """The same on the processor that takes most: a board on a serial port does not say its own.

        None for the others, and for a kernel that was not measured.
        """
        if self.backend != "serial":
            return None
        measured = [one for one in microcontrollers() if self.kernel in one.shares]
        each = [heap_in_use(self.model, one, self.kernel, False) for one in measured]
        return max(each, default=None)

    @property
    def warnings(self) -> list[str]:
        """What is doubtful about the cell and its pulses."""
        o = self.options
        found = o.cell.warnings() if self.energy is None else list(self.energy.warnings)
        found = found + resolution_doubts("a write-error rate", o.rates)
        if o.disturb is not None:
            found += resolution_doubts("a disturb rate", disturb_rates(o.cell, o.disturb))
        return found

    @property
    def near_chance(self) -> bool | None:
        """Whether the accuracy may be no better than 1.5 times guessing; None without labels."""
        if self.correct is None:
            return None
        low, _ = wilson(self.correct, len(self.images))
        return low <= 1.5 * self.chance

    @property
    def chance(self) -> float:
        """Accuracy of guessing: one over the number of classes."""
        return 1 / self.model.outcomes

    def to_json(self) -> dict[str, Any]:
        """The result unrounded, as JSON values.

        null stands for what does not exist: the pulse width and its energy at an error rate of
        0 (no pulse is long enough), energies of a cell that states no current and voltage, and
        the accuracy of images without labels.
        """
        o, n = self.options, len(self.images)
        per_bit, energy = self.energy_per_bit_pj, self.energy
        counts = dict(zip(COUNTS, self.bits, strict=True))
        return {
            "backend": self.backend,
            "kernel": self.kernel,
            "model": {
                "name": self.model.name,
                "sha256": hashlib.sha256(self.model.data).hexdigest(),
                "weight_bits": self.model.weight_bits,
                "macs": self.model.macs,
            },
            "device": o.cell.to_json(),
            "cell": o.cell.to_json(),
            "images": n,
            "data": {"source": self.images.source, "sha256": self.images.sha256},
            "correct": self.correct,
            "accuracy": _share(self.correct, n),
            "error_free_accuracy": _share(self.error_free_correct, n),
            "seed": o.seed,
            "errors": o.errors,
            "buffer": {
                "ber": o.map_rate,
                "write_error_rate": o.map_rate,
                "pulse_ns": o.pulse_ns,
                **({} if o.plan is None else {"pulses_ns": [[*p.pulses] for p in o.plan.layers]}),
                "limits_used": as_lists(o.mean_errors.limits),
                **_limits(o.limits),
            },
            "weights": {
                "ber": o.weight_rate,
                "write_error_rate": o.weight_rate,
                "pulse_ns": o.weight_pulse_ns,
                "bits_written": self.weight_bits[0],
                "bits_wrong": self.weight_bits[1],
                "limits_used": as_lists(o.mean_errors.weight_limits),
                **_limits(o.weight_limits),
            },
            "chip": _chip(o),
            "disturb": _disturb(o),
            "cells_before": o.cells_before,
            "bits": counts,
            "energy": {
                "per_bit_pj": per_bit,
                "total_pj": None if energy is None else energy.total_pj,
                "reference_per_bit_pj": self.reference_per_bit_pj,
                "saving_percent": self.saving_percent,
                **({} if energy is None else energy.to_json()),
            },
            "near_chance": self.near_chance,
            "warnings": self.warnings,
            "scores_sha256": self.scores_sha256,
            "seconds": self.seconds,
            "device_us_per_image": self.device_us_per_image,
            "device_us_median": self.device_us_median,
            "heap_in_use_bytes": self.heap_in_use,
        }


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share of `hits` in `n` (Wilson 1927), which stays within 0..1."""
    z = 1.959963984540054
    middle = (hits + z * z / 2) / (n + z * z)
    spread = z / (n + z * z) * math.sqrt(hits * (n - hits) / n + z * z / 4)
    return (middle - spread if hits else 0.0), (middle + spread if hits < n else 1.0)


def tables(result: Result) -> list[Table]:
    """The result for people: a table, after one of the predictions of unlabelled pictures."""
    first = [_predictions(result)] if result.images.labels is None and result.images.names else []
    return [*first, _summary(result)]


def _summary(result: Result) -> Table:
    o, n = result.options, len(result.images)
    table = Table(show_header=False, title=_plain(f"{result.model.name} on {result.backend}"))
    table.add_column(style="bold")
    table.add_column()
    there = f" ({result.resumed} were there)" if result.resumed else ""
    table.add_row("images", f"{n}{there}, kernel {result.kernel}")
    table.add_row("time in the kernel", f"{result.device_us_median / 1000:.4g} ms/image (median)")
    if result.heap_in_use is not None:
        table.add_row("heap in use, foreseen", f"{result.heap_in_use:,} bytes")
    elif result.heap_at_most is not None:
        most = f"at most {result.heap_at_most:,} bytes (by board: `info`)"
        table.add_row("heap in use, foreseen", most)
    if result.correct is not None and result.error_free_correct is not None:
        table.add_row("accuracy", accuracy_text(result.correct, n))
        table.add_row("error-free accuracy (twin)", accuracy_text(result.error_free_correct, n))
    else:
        same = int((result.predictions == result.error_free_predictions).sum())
        table.add_row("same class as error-free (twin)", f"{same} of {n}")
    table.add_row("feature maps", f"{_rate(o.map_rate)}, errors {o.errors}")
    if o.chip is not None:
        low, high = _span(o.class_limits[0])
        table.add_row("cells differ", f"chip {o.chip}, {low} (fastest class) to {high} (slowest)")
    if o.disturb is not None:
        zero, one = disturb_rates(o.cell, o.disturb)
        held = "" if o.cell.retention is None else f", held {o.cell.retention.hold_ms:g} ms"
        table.add_row(
            "stored bits lost",
            f"{one:.3g} of ones, {zero:.3g} of zeros: read {o.disturb} times{held}",
        )
    if o.cells_before == "random":
        table.add_row("cells before an image", "random bits: nothing is erased")
    _add_energy(table, result)
    table.add_row("bits written / toggled / wrong", " / ".join(f"{b:,}" for b in result.bits[:3]))
    table.add_row("ones written / toggled up", " / ".join(f"{b:,}" for b in result.bits[3:]))
    if o.write_errors.weights_fail:
        written, wrong = result.weight_bits
        table.add_row("weights", f"{_rate(o.weight_rate)}, {wrong:,} of {written:,} wrong")
    return table


def _add_energy(table: Table, result: Result) -> None:
    """Rows of pulse, energy and saving. A saving names what it is of and against what."""
    o, n, energy = result.options, len(result.images), result.energy
    if energy is None:
        by_layer = o.map_rate is None
        table.add_row("pulse width", "by layer" if by_layer else "unlimited (rate 0)")
        table.add_row("write energy, modelled", "not computed" if by_layer else "unlimited")
        at = result.reference_per_bit_pj
        reference = "a pulse" if at is None else f"{at:.2f} pJ/bit"
        saved = "not computed" if by_layer else "none"
        table.add_row("saving", f"{saved} against {reference} (rate 1e-8)")
    else:
        down, up = energy.pulses
        same = f"{up:.1f} ns" if down == up else f"{up:.1f} ns up, {down:.1f} ns down"
        if energy.layers:
            widths = [width for _, pulses, _ in energy.layers for width in pulses]
            same = f"by layer, {min(widths):.1f} to {max(widths):.1f} ns"
        table.add_row("pulse width", same)
        per_bit, reference_pj = energy.per_bit_pj, energy.reference_per_bit_pj
        shown, against = f"not known: cell {o.cell.name} states no current and voltage", "a pulse"
        if per_bit is not None and energy.total_pj is not None and reference_pj is not None:
            shown = f"{per_bit:.2f} pJ/bit, {energy.total_pj / n * 1e-3:.1f} nJ/image"
            against = f"{reference_pj:.2f} pJ/bit"
        table.add_row("write energy, modelled", shown)
        saving = energy.saving_percent
        saved = "not known" if saving is None else f"{saving:.1f} %"
        note = ""
        if result.near_chance:
            note = f"\nworth nothing: accuracy near chance ({100 * result.chance:.3g} %)"
        table.add_row("saving", f"{saved} against {against} (rate 1e-8){note}")
        table.add_row("cell", _plain(f"{o.cell.name}, {o.cell.population}"))
        table.add_row(
            "scheme",
            f"{o.scheme}, {100 * energy.traffic.toggle_share:.1f} % of the bits toggle, "
            f"overheads: {energy.scheme.overheads(o.cell.circuit)}",
        )
        asks = energy.scheme.hangs_on_old_bits and not energy.reused
        if asks and energy.with_erasing_pj is not None:
            table.add_row(
                "erasing paid / steady reuse",
                f"{energy.with_erasing_pj:.2f} / {energy.steady_pj:.2f} pJ/bit",
            )
    for warning in result.warnings:
        table.add_row("warning", _plain(warning))


def _chip(o: RunOptions) -> dict[str, Any] | None:
    """What JSON says of the cells' classes."""
    if o.chip is None:
        return None
    maps, weights = o.class_limits
    return {"seed": o.chip, "class_limits": maps, "weight_class_limits": weights}


def _disturb(o: RunOptions) -> dict[str, Any] | None:
    """What JSON says of disturbed bits."""
    if o.disturb is None:
        return None
    zero, one = disturb_rates(o.cell, o.disturb)
    limits = list(o.disturb_limits)
    return {"reads": o.disturb, "rate_of_zeros": zero, "rate_of_ones": one, "limits": limits}


def _span(classes: list[list[tuple[int, int]]]) -> tuple[str, str]:
    """Mean rates of the fastest and of the slowest class, over layers and directions."""
    means = [sum(map(sum, layers)) / (2 * len(layers) * CERTAIN) for layers in classes]
    return f"{100 * means[0]:.3g} %", f"{100 * means[-1]:.3g} %"


def _limits(limits: Limits | None) -> dict[str, Any]:
    """What JSON says of limits by layer; nothing where there is one rate."""
    return {} if limits is None else {"limits": as_lists(limits)}


def _rate(rate: float | None) -> str:
    return "write-error rates by layer" if rate is None else f"write-error rate {100 * rate:.4g} %"


def _predictions(result: Result) -> Table:
    table = Table("photograph", "class", "without errors", title="predictions")
    names = result.model.class_names or [str(c) for c in range(result.model.outcomes)]
    for name, got, clean in zip(
        result.images.names, result.predictions, result.error_free_predictions, strict=True
    ):
        table.add_row(_plain(name), _plain(names[got]), _plain(names[clean]))
    return table


def _plain(name: str) -> Text:
    """A name from outside as text: no markup, and no control character reaches the terminal."""
    return Text("".join(c if c.isprintable() else "?" for c in name))


def accuracy_text(hits: int, n: int) -> str:
    """An accuracy with its 95 % interval, for people."""
    low, high = wilson(hits, n)
    return f"{100 * hits / n:.2f} % ({hits} of {n}; 95 %: {100 * low:.1f} to {100 * high:.1f})"


def hits(predictions: NDArray[np.intp], labels: NDArray[np.int64] | None) -> int | None:
    """How many predictions (n,) are the labels'; None without labels."""
    return None if labels is None else int((predictions == labels).sum())


def _share(hits: int | None, n: int) -> float | None:
    return None if hits is None else hits / n
