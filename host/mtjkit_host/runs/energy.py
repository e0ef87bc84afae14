"""The write energy of a run's feature maps: its counts times what its scheme costs.

Everything is modelled. A cell and a scheme give coefficients in pJ (`mtj.scheme.Write`), the run
gives counts (`mtjkit_core.write_errors.COUNTS`), and the energy is their dot product. The saving
compares with a fixed pulse of the same cell, for the same writes, at the reference rate of 1e-8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mtjkit_core.write_errors import COUNTS

from mtjkit_host.mtj.cell import REFERENCE_RATE, Cell
from mtjkit_host.mtj.pulse_plan import PulsePlan
from mtjkit_host.mtj.scheme import Pulses, Scheme, Traffic, Write
from mtjkit_host.mtj.schemes import doubts, parse_scheme, reference_write, saving_percent


@dataclass(frozen=True)
class RunEnergy:
    """Energy of the feature maps of a run."""

    cell: Cell
    """The MTJ cell."""
    scheme: Scheme
    """How the cells are written."""
    pulses: Pulses
    """Pulse widths; the longest ones where layers differ."""
    counts: Sequence[int]
    """Bits of the whole run: mtjkit_core.write_errors.COUNTS."""
    layers: tuple[tuple[float, Pulses, Traffic | None], ...] = ()
    """Where layers differ: each layer's share of the written bits, its pulse widths, and what it
    writes. The run's ones and toggles are shared out among the layers as this says; where it says
    nothing, as the written bits are."""
    reused: bool = False
    """Whether the cells of the run were in steady reuse: not erased, but full of random bits."""

    @classmethod
    def of_plan(
        cls, plan: PulsePlan, bits: Sequence[int], counts: Sequence[int], reused: bool = False
    ) -> RunEnergy:
        """Energy of feature maps that are written with a plan.

        Args:
            plan: pulses of each hidden layer.
            bits: bits that each hidden layer writes for an image.
            counts: bits of the whole run.
            reused: see RunEnergy. The plan says what its layers write over the cells it is for.
        """

        def over_those_cells(traffic: Traffic | None) -> Traffic | None:
            if traffic is None or reused == (plan.cells_before == "random"):
                return traffic
            return _in_reuse(traffic) if reused else None

        pulses = [layer.pulses for layer in plan.layers]
        longest = Pulses(max(p.down_ns for p in pulses), max(p.up_ns for p in pulses))
        layers = tuple(
            (
                n / sum(bits),
                layer.pulses,
                over_those_cells(layer.traffic),
            )
            for n, layer in zip(bits, plan.layers, strict=True)
            if n
        )
        return cls(plan.cell, parse_scheme(plan.scheme), longest, counts, layers, reused)

    @cached_property
    def traffic(self) -> Traffic:
        """What was written, as shares of the written bits."""
        n = dict(zip(COUNTS, self.counts, strict=True))
        up = n["up_toggled"]
        return Traffic.of_run(n["written"], n["ones_written"], n["toggled"] - up, up)

    @cached_property
    def write(self) -> Write:
        """The coefficients."""
        return self._write(self.traffic)

    def _write(self, traffic: Traffic, reuse: bool = False, erase: bool = False) -> Write:
        """The coefficients, the mean over the layers where they differ.

        Args:
            traffic: what is written where a layer does not say it.
            reuse: cells are not erased, see `steady_pj`.
            erase: every bit takes the longer one of its layer's two pulses.
        """
        found: list[tuple[float, Traffic, Write]] = []
        for share, pulses, its in self.layers or ((1.0, self.pulses, None),):
            layer = its or traffic
            if reuse:
                layer = _in_reuse(layer)
            if erase:
                pulses = Pulses(pulses.longest_ns, pulses.longest_ns)
            found.append((share, layer, self.scheme.write(self.cell, pulses, layer)))
        if len(found) == 1:
            return found[0][2]

        def mean(value: Callable[[Write], float], of: Callable[[Traffic], float]) -> float:
            weights = [share * of(its) for share, its, _ in found]
            if not any(weights):
                weights = [share for share, _, _ in found]
            each = zip(weights, found, strict=True)
            return sum(w * value(write) for w, (_, _, write) in each) / sum(weights)

        def all_bits(_: Traffic) -> float:
            return 1.0

        zero = mean(lambda w: w.pj_zero, all_bits)
        return Write(
            rate_down=mean(lambda w: w.rate_down, lambda t: t.down),
            rate_up=mean(lambda w: w.rate_up, lambda t: t.up),
            pj_zero=zero,
            pj_one=zero + mean(lambda w: w.pj_one - w.pj_zero, lambda t: t.ones),
            pj_down=mean(lambda w: w.pj_down, lambda t: t.down),
            pj_up=mean(lambda w: w.pj_up, lambda t: t.up),
            pj_word=mean(lambda w: w.pj_word, all_bits),
            latency_ns=max(write.latency_ns for _, _, write in found),
            word_bits=traffic.word_bits,
        )

    @property
    def per_bit_pj(self) -> float | None:
        """Mean energy of a written bit; None where the cell states no current and voltage."""
        return self.write.per_bit_pj(self.traffic) if self.cell.has_power else None

    @property
    def total_pj(self) -> float | None:
        """Energy of all feature maps of the run, pJ."""
        if not self.cell.has_power:
            return None
        written, toggled, _, ones, up = self.counts
        return self.write.total_pj(written, ones, toggled - up, up)

    @property
    def reference_per_bit_pj(self) -> float | None:
        """The same writes with the conventional pulse, pJ a bit."""
        if not self.cell.has_power:
            return None
        return reference_write(self.cell, self.traffic)[1].per_bit_pj(self.traffic)

    @property
    def saving_percent(self) -> float | None:
        """Saved against the conventional pulse; None where it is not known."""
        if not self.layers:
            return saving_percent(self.cell, self.scheme, self.pulses, self.traffic)
        reference = reference_write(self.cell, self.traffic)[1].per_bit_pj(self.traffic)
        return 100 * (1 - self.write.per_bit_pj(self.traffic) / reference)

    @property
    def erased_share(self) -> float:
        """Cells that must be erased before an image, over the bits written in one.

        MEMORY.md erases both halves before every image and does not count it. A cell to be erased
        has gone up and not down again; failed writes are left out. In steady reuse there are none.
        """
        return 0.0 if self.reused else max(0.0, self.traffic.up - self.traffic.down)

    @property
    def _with_erasing(self) -> float:
        """`with_erasing_pj`; of 1 mW where no power is known."""
        w = self._write(self.traffic, erase=True)
        return self.write.per_bit_pj(self.traffic) + self.erased_share * (w.pj_zero + w.pj_down)

    @property
    def _steady(self) -> float:
        """`steady_pj`; of 1 mW where no power is known."""
        return self._write(self.traffic, reuse=not self.reused).per_bit_pj(self._steady_traffic)

    @property
    def _steady_traffic(self) -> Traffic:
        return self.traffic if self.reused else _in_reuse(self.traffic)

    @property
    def with_erasing_pj(self) -> float | None:
        """Mean energy of a written bit where the erasing before an image is paid, pJ.

        Each cell that must be erased takes one write that goes down, with the same pulse; with the
        longer one where the directions have pulses of their own.
        """
        return self._with_erasing if self.cell.has_power else None

    @property
    def steady_pj(self) -> float | None:
        """Mean energy of a written bit in steady reuse: nothing is erased, pJ.

        A cell then holds an earlier map's bit, which has nothing to do with the new one: half of
        the ones go up and half of the zeros go down. Errors of the run are those over erased cells.
        A run that was itself in steady reuse has its own counts and errors here.
        """
        return self._steady if self.cell.has_power else None

    @property
    def with_erasing_percent(self) -> float:
        """What `with_erasing_pj` saves against the conventional pulse, whose erasing is free."""
        return 100 * (1 - self._with_erasing / self._reference(self.traffic))

    @property
    def steady_percent(self) -> float:
        """What `steady_pj` saves against the conventional pulse in steady reuse."""
        return 100 * (1 - self._steady / self._reference(self._steady_traffic))

    def _reference(self, traffic: Traffic) -> float:
        return reference_write(self.cell, traffic)[1].per_bit_pj(traffic)

    @property
    def warnings(self) -> list[str]:
        """What is doubtful about the cell at these pulses."""
        found = self.cell.warnings(self.pulses.longest_ns)
        found += self.cell.warnings(reference_write(self.cell, self.traffic)[0].longest_ns)
        return list(dict.fromkeys(found + doubts(self.cell, self.scheme)))

    def to_json(self) -> dict[str, Any]:
        """What JSON has beside the energies themselves: scheme, shares, costs, baseline."""
        w, t, known = self.write, self.traffic, self.cell.has_power
        pulses, _ = reference_write(self.cell, t)
        coefficients = {
            "zero": w.pj_zero, "one": w.pj_one, "down": w.pj_down, "up": w.pj_up, "word": w.pj_word,
        }  # fmt: skip
        return {
            "scheme": self.scheme.name,
            "toggle_share": t.toggle_share,
            "up_share": t.up,
            "ones_share": t.ones,
            "sigma_ln_tau": self.cell.variation.sigma_ln_tau,
            "overheads": {name: getattr(self.cell.circuit, name) for name in self.scheme.uses},
            "coefficients_pj": coefficients if known else None,
            "word_bits": w.word_bits,
            "word_ns": w.latency_ns,
            "reference_rate": REFERENCE_RATE,
            "reference_pulse_ns": pulses.longest_ns,
            "erased_share": self.erased_share,
            "with_erasing_per_bit_pj": self.with_erasing_pj,
            "steady_reuse_per_bit_pj": self.steady_pj,
        }


def _in_reuse(traffic: Traffic) -> Traffic:
    """The same bits over cells that hold what has nothing to do with them."""
    ones = traffic.ones
    return Traffic((1 - ones) / 2, ones / 2, ones, traffic.word_bits)
