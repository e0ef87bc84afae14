"""What a cell says about one write, for programs and for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from rich.table import Table
from rich.text import Text

from mtjkit_host.mtj.cell import REFERENCE_RATE, Cell
from mtjkit_host.mtj.scheme import Pulses, Scheme, Traffic, Write
from mtjkit_host.mtj.schemes import doubts, reference_write, saving_percent
from mtjkit_host.mtj.variation import Population, class_rates


@dataclass(frozen=True)
class Answer:
    """One cell, one scheme, one pair of pulses, one traffic."""

    cell: Cell
    """The MTJ cell."""
    scheme: Scheme
    """How it is written."""
    pulses: Pulses
    """Pulse widths (down, up), ns."""
    traffic: Traffic
    """What is written."""

    @cached_property
    def write(self) -> Write:
        """The write."""
        return self.scheme.write(self.cell, self.pulses, self.traffic)

    @cached_property
    def reference(self) -> tuple[Pulses, Write]:
        """The conventional write of the same cell."""
        return reference_write(self.cell, self.traffic)

    @cached_property
    def saving_percent(self) -> float | None:
        """Saving against the conventional write; None where the cell's power is not known."""
        return saving_percent(self.cell, self.scheme, self.pulses, self.traffic)

    @property
    def warnings(self) -> list[str]:
        """What is doubtful, about the cell, this pulse and the reference's."""
        found = self.cell.warnings(self.pulses.longest_ns)
        found += self.cell.warnings(self.reference[0].longest_ns)
        found += doubts(self.cell, self.scheme)
        if not self.cell.has_power:
            found.append(
                "the cell states no current and voltage: no energies, and the saving takes the "
                "power as the same all the time"
            )
        if self.scheme.reads_first:
            found.append("this scheme writes only bits that differ: its errors are of kind keep")
        return list(dict.fromkeys(found))

    def classes(self) -> list[float] | None:
        """Mean error rates of the classes of cells, both directions' mean; None for one cell."""
        ways = [self.cell.down, self.cell.up]
        count = self.cell.variation.classes
        each = []
        for way, pulse in zip(ways, self.pulses, strict=True):
            if not isinstance(way.switching, Population):
                return None
            each.append(class_rates(way.switching.cell, way.switching.sigma, pulse, count))
        return [(down + up) / 2 for down, up in zip(*each, strict=True)]

    def _pj(self, value: float) -> float | None:
        return value if self.cell.has_power else None

    def to_json(self) -> dict[str, Any]:
        """The answer as JSON values; null for what is not known. Energies in pJ a data bit."""
        w, traffic, cell = self.write, self.traffic, self.cell
        word = w.pj_word / w.word_bits
        pulses, reference = self.reference
        return {
            "cell": cell.to_json() | {"name": cell.name},
            "scheme": self.scheme.name,
            "pulse_ns": self.pulses.longest_ns,
            "pulses_ns": {"up": self.pulses.up_ns, "down": self.pulses.down_ns},
            "error_rate": {"up": w.rate_up, "down": w.rate_down},
            "energy_pj": {
                "up": self._pj(w.pj_one + w.pj_up + word),
                "down": self._pj(w.pj_zero + w.pj_down + word),
                "stay": self._pj(traffic.ones * w.pj_one + (1 - traffic.ones) * w.pj_zero + word),
            },
            "energy_per_bit_pj": self._pj(w.per_bit_pj(traffic)),
            "latency_ns": w.latency_ns,
            "traffic": {"toggle_share": traffic.toggle_share, **asdict(traffic)},
            "overheads": {name: getattr(cell.circuit, name) for name in self.scheme.uses},
            "reference": {
                "rate": REFERENCE_RATE,
                "scheme": "fixed",
                "pulse_ns": pulses.longest_ns,
                "energy_per_bit_pj": self._pj(reference.per_bit_pj(traffic)),
            },
            "saving_percent": self.saving_percent,
            "sigma_ln_tau": cell.variation.sigma_ln_tau,
            "class_error_rates": self.classes(),
            "kelvin": cell.temperature.kelvin,
            "retention_error_rate": cell.retention and cell.retention.error_rate(cell.temperature),
            "disturb_rate": cell.read and cell.read.disturb_rate(cell.temperature),
            "warnings": self.warnings,
        }

    def table(self) -> Table:
        """The answer for people."""
        w, cell, traffic = self.write, self.cell, self.traffic
        pulses, reference = self.reference
        values = self.to_json()
        table = Table(show_header=False, title=Text(f"cell {cell.name}, scheme {self.scheme.name}"))
        table.add_column(style="bold")
        table.add_column()

        def row(name: str, text: str) -> None:
            if text:
                table.add_row(name, Text("".join(c if c.isprintable() else "?" for c in text)))

        row("source", cell.source)
        row("verified", cell.verified)
        same = self.pulses.down_ns == self.pulses.up_ns
        row(
            "pulse",
            f"{self.pulses.up_ns:.4g} ns"
            if same
            else f"{self.pulses.up_ns:.4g} ns up, {self.pulses.down_ns:.4g} ns down",
        )
        same = w.rate_down == w.rate_up
        row(
            "error rate left",
            _percent(w.rate_up)
            if same
            else f"{_percent(w.rate_up)} up, {_percent(w.rate_down)} down",
        )
        energy = values["energy_pj"]
        if cell.has_power:
            row(
                "energy of a bit",
                f"{energy['up']:.4g} pJ up, {energy['down']:.4g} pJ down, "
                f"{energy['stay']:.4g} pJ where it stays",
            )
            row("mean energy of a bit", f"{values['energy_per_bit_pj']:.4g} pJ")
        row("time of a word", f"{w.latency_ns:.4g} ns")
        row(
            "written",
            f"words of {traffic.word_bits} bits, {traffic.toggle_share:.4g} of the bits toggle, "
            f"{traffic.ones:.4g} are ones",
        )
        row("overheads", self.scheme.overheads(cell.circuit))
        at = f"a fixed pulse of {pulses.longest_ns:.4g} ns (rate 1e-8)"
        if cell.has_power:
            at += f", {reference.per_bit_pj(traffic):.4g} pJ/bit"
        saved = self.saving_percent
        row("saving", (f"{saved:.2f} %" if saved is not None else "not known") + f" against {at}")
        row("population", cell.population)
        if classes := values["class_error_rates"]:
            row("classes' error rates", ", ".join(_percent(rate) for rate in classes))
        kelvin = f"at {cell.temperature.kelvin:g} K"
        if cell.retention:
            row(
                f"lost in {cell.retention.hold_ms:g} ms {kelvin}",
                _percent(values["retention_error_rate"]),
            )
        if cell.read:
            row(
                f"disturbed by a read of {cell.read.pulse_ns:g} ns {kelvin}",
                _percent(values["disturb_rate"]),
            )
        for warning in self.warnings:
            row("warning", warning)
        return table


def _percent(rate: float) -> str:
    return f"{100 * rate:.4g} %" if rate >= 1e-5 else f"{rate:.4g}"
