"""A vote over several passes: the same net with other errors each time, or several nets.

The energy of a vote is that of all its passes, so it must be compared with one pass of that energy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError
from numpy.typing import NDArray
from rich.table import Table

from mtjkit_host import parse
from mtjkit_host.runs.model_path import model_path
from mtjkit_host.runs.options import RunOptions
from mtjkit_host.runs.result import Result, accuracy_text, hits
from mtjkit_host.runs.run import prepare, run_twin

MOST = 101
"""Passes of a vote at most."""


@dataclass(frozen=True)
class Ensemble:
    """Passes over the same images, and their vote."""

    passes: tuple[Result, ...]
    """Each pass's result; the options of the first are the run's."""

    @property
    def options(self) -> RunOptions:
        """What was asked for."""
        return self.passes[0].options

    @cached_property
    def predictions(self) -> NDArray[np.intp]:
        """Class of each image, (n,): the one with most votes, the lowest class on a tie."""
        classes = self.passes[0].model.outcomes
        votes = np.zeros((len(self.passes[0].images), classes), np.int64)
        for one in self.passes:
            votes[np.arange(len(votes)), one.predictions] += 1
        found: NDArray[np.intp] = votes.argmax(axis=1)
        return found

    @property
    def correct(self) -> int | None:
        """Images that the vote classifies as labelled; None without labels."""
        return hits(self.predictions, self.passes[0].images.labels)

    @property
    def total_pj(self) -> float | None:
        """Modelled energy of the feature maps of all passes, pJ; None where one is not known."""
        each = [None if one.energy is None else one.energy.total_pj for one in self.passes]
        known = [value for value in each if value is not None]
        return sum(known) if len(known) == len(each) else None

    @property
    def saving_percent(self) -> float | None:
        """Saved against one pass of the first net at the reference rate of 1e-8, percent."""
        first = self.passes[0]
        at = first.reference_per_bit_pj
        if self.total_pj is None or at is None:
            return None
        return 100 * (1 - self.total_pj / (at * first.bits[0]))

    @property
    def equal_energy_rate(self) -> float | None:
        """Write-error rate of one pass of the first net with the energy of all passes.

        The cap, or the first pulse, is longer by the ratio of the energies: exact for fixed pulses
        at a constant current, and None for other schemes.
        """
        first = self.passes[0]
        energy = first.energy
        if self.total_pj is None or energy is None or energy.total_pj is None:
            return None
        if energy.scheme.name != "fixed" or not energy.total_pj or energy.write.pj_up:
            return None
        longer = self.total_pj / energy.total_pj
        return energy.cell.error_rate(energy.pulses.longest_ns * longer)

    def to_json(self) -> dict[str, Any]:
        """The vote and every pass as JSON values; null for what is not known."""
        n = len(self.passes[0].images)
        total = self.total_pj
        return {
            "ensemble": {
                "passes": len(self.passes),
                "correct": self.correct,
                "accuracy": None if self.correct is None else self.correct / n,
                "total_pj": total,
                "per_image_pj": None if total is None else total / n,
                "saving_percent": self.saving_percent,
                "equal_energy_rate": self.equal_energy_rate,
            },
            "members": [one.to_json() for one in self.passes],
        }

    def table(self) -> Table:
        """The vote for people."""
        n, first = len(self.passes[0].images), self.passes[0]
        table = Table(show_header=False, title=f"vote of {len(self.passes)} passes")
        table.add_column(style="bold")
        table.add_column()
        for number, one in enumerate(self.passes, 1):
            right = "not known" if one.correct is None else accuracy_text(one.correct, n)
            table.add_row(f"pass {number}, seed {one.options.seed}", f"{one.model.name}: {right}")
        if self.correct is not None:
            table.add_row("vote", accuracy_text(self.correct, n))
        if self.total_pj is not None and first.reference_per_bit_pj is not None:
            table.add_row("write energy, modelled", f"{self.total_pj / n * 1e-3:.1f} nJ/image")
            conventional = first.reference_per_bit_pj * first.bits[0] / n * 1e-3
            table.add_row(
                "saving",
                f"{self.saving_percent:.1f} % against one pass at a rate of 1e-8, "
                f"{conventional:.1f} nJ/image",
            )
        if self.equal_energy_rate is not None:
            table.add_row(
                "one pass with this energy",
                f"has a write-error rate of {100 * self.equal_energy_rate:.3g} %",
            )
        return table


def run_ensemble(options: RunOptions, ensemble: str) -> Ensemble:
    """Classify the images several times on the host alone.

    Args:
        options: of the first pass. Later passes have the seeds after its seed.
        ensemble: how many passes of the model, 2 to 101; or more models, separated by commas, that
            take one pass each beside the first.

    Raises:
        ConfigError, FormatError: see run_twin; or `ensemble` is neither, or the models classify
            other things.
    """
    if ensemble.isdecimal():
        models = [options.model] * parse.whole("--ensemble", ensemble, 2, MOST)
    else:
        models = [options.model, *(model_path(name.strip()) for name in ensemble.split(","))]
    if len(models) > MOST:
        raise ConfigError(f"--ensemble takes up to {MOST} passes, not {len(models)}")
    images = prepare(options).images
    passes: list[Result] = []
    for number, model in enumerate(models):
        seed = (options.seed + number) % 2**64
        one = run_twin(replace(options, model=model, seed=seed, images=None), images)
        if passes and one.model.outcomes != passes[0].model.outcomes:
            raise ConfigError(
                f"--ensemble: {one.model.name} has {one.model.outcomes} classes, "
                f"{passes[0].model.name} has {passes[0].model.outcomes}"
            )
        passes.append(one)
    return Ensemble(tuple(passes))
