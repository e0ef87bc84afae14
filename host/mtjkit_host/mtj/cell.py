"""The MTJ cell: how long a write pulse is, how often it fails, what it costs.

Asano, Natsui, Hanyu, "Error-Tolerance-Aware Write-Energy Reduction of MTJ-Based Quantized Neural
Network Hardware", IEICE Trans. Inf. & Syst., 2024, doi 10.1587/transinf.2023LOP0007, is the default
cell. Other cells are files: see `mtjkit_host.mtj.cell_file` and docs/cells.md.

"Up" writes a 1 (P to AP), "down" writes a 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError

from mtjkit_host.mtj import macrospin
from mtjkit_host.mtj.fokker_planck import FokkerPlanck
from mtjkit_host.mtj.switching import Floats, Switching, SwitchingModel, Tail

REFERENCE_RATE = 1e-8
"""Write-error rate of the conventional, "error-free" write: the paper's 10^-6 percent."""

PAPER = {"tau_ns": 14.8, "current_ua": 150.0, "voltage_v": 1.08}
"""The paper's cell (Sect. 4.2); 1.08 V is the one value that gives its Table 2 to the digit."""


@dataclass(frozen=True)
class Direction:
    """Writing one of the two values: how the cell switches and what flows meanwhile."""

    switching: Switching = field(default_factory=lambda: Tail(PAPER["tau_ns"]))
    """Model of the switching."""
    current_ua: float | None = PAPER["current_ua"]
    """Current until the cell has switched, uA; None where it is not known."""
    voltage_v: float | None = PAPER["voltage_v"]
    """Voltage across the cell, V; None where it is not known."""
    after_ua: float | None = None
    """Current once the cell is in its new state; None for the same (a current source)."""

    @property
    def has_power(self) -> bool:
        """Whether current and voltage are known."""
        return self.current_ua is not None and self.voltage_v is not None

    def _energy(self, current_ua: float | None, time_ns: float) -> float:
        if self.voltage_v is None or current_ua is None:
            return time_ns  # 1 mW: what is left of a saving that needs no power
        return self.voltage_v * current_ua * time_ns * 1e-3

    def before_pj(self, time_ns: float) -> float:
        """Energy of `time_ns` before the cell has switched, pJ (of 1 mW where none is known)."""
        return self._energy(self.current_ua, time_ns)

    def after_pj(self, time_ns: float) -> float:
        """Energy of `time_ns` in the new state, pJ; also that of a cell that need not switch."""
        current = self.current_ua if self.after_ua is None else self.after_ua
        return self._energy(current, time_ns)

    def toggle_pj(self, pulse_ns: float) -> float:
        """Mean energy of a pulse on a cell that has to switch, pJ."""
        if self.after_ua is None:
            return self.before_pj(pulse_ns)
        before = self.switching.mean_switching_ns(pulse_ns)
        return self.before_pj(before) + self.after_pj(pulse_ns - before)


@dataclass(frozen=True)
class Circuit:
    """What a write scheme's circuits cost beside the cell; all of it is 0 unless it is given."""

    read_pj: float = 0.0
    """Energy of reading one bit, pJ."""
    read_ns: float = 0.0
    """Time of reading a word, ns."""
    monitor_pj: float = 0.0
    """Energy of watching one bit while it is written, pJ."""
    detect_ns: float = 0.0
    """Time from a cell's switching to the end of its current, ns."""
    min_ns: float = 0.0
    """Shortest pulse of a driver that stops by itself, ns."""
    decode_pj: float = 0.0
    """Energy of checking and mending one data bit, pJ."""


@dataclass(frozen=True)
class Variation:
    """How cells differ from each other."""

    sigma_ln_tau: float = 0.0
    """Standard deviation of ln tau between cells; the directions' models hold it already."""
    classes: int = 4
    """Classes of cells that a device can tell apart."""
    chip: int | None = None
    """Seed of a chip's classes: runs then tell its cells apart; None for the mean of all cells."""


@dataclass(frozen=True)
class Temperature:
    """Temperature and how the barrier follows it: `macrospin.temperature_factors`."""

    kelvin: float = macrospin.ROOM_K
    """Temperature, K."""
    n: float = 0.0
    """Exponent of the anisotropy; 0 keeps the barrier's energy."""
    t_star: float = 1120.0
    """Temperature at which the magnetization is gone, K; unused for n = 0."""

    def factors(self) -> tuple[float, float, float]:
        """Factors of (delta, Ic0, t_d)."""
        return macrospin.temperature_factors(self.kelvin, self.n, self.t_star)


@dataclass(frozen=True)
class Retention:
    """Bits that a cell loses between write and read."""

    delta: float
    """Barrier at 300 K, in kT."""
    t_d_ns: float
    """Unit of time at 300 K, ns."""
    hold_ms: float
    """Time between write and read, ms."""

    def error_rate(self, temperature: Temperature) -> float:
        """Probability that a bit is wrong after the hold time."""
        barrier, _, time = temperature.factors()
        return macrospin.retention_error(
            self.delta * barrier, self.t_d_ns * time, self.hold_ms * 1e6
        )


@dataclass(frozen=True)
class Read:
    """Reads, which may switch a cell."""

    delta: float
    """Barrier at 300 K, in kT."""
    t_d_ns: float
    """Unit of time at 300 K, ns."""
    i: float
    """Read current / Ic0 at 300 K."""
    pulse_ns: float
    """Length of a read, ns."""
    direction: str = "down"
    """Where its current pushes: down (it may lose a 1) or up (a 0)."""

    def disturb_rate(self, temperature: Temperature) -> float:
        """Probability that one read switches a cell against which its current pushes."""
        barrier, current, time = temperature.factors()
        chain = FokkerPlanck(self.delta * barrier, self.i / current, self.t_d_ns * time)
        return chain.switched(self.pulse_ns)


@dataclass(frozen=True)
class Cell:
    """One MTJ cell, or a population of them. `Cell()` is the paper's."""

    up: Direction = field(default_factory=Direction)
    """Writing a 1: P to AP."""
    down: Direction = field(default_factory=Direction)
    """Writing a 0: AP to P."""
    name: str = field(default="asano2024", compare=False)
    """Name of the preset or file."""
    source: str = field(default="", compare=False)
    """Where the numbers come from."""
    verified: str = field(default="", compare=False)
    """What of it was checked, and how."""
    circuit: Circuit = field(default_factory=Circuit)
    """Costs of write schemes."""
    variation: Variation = field(default_factory=Variation)
    """Differences between cells."""
    temperature: Temperature = field(default_factory=Temperature)
    """For retention and read disturb; the speed of a write does not follow it."""
    retention: Retention | None = None
    """Bits lost between write and read; None where nothing is known."""
    read: Read | None = None
    """Read disturb; None where nothing is known."""
    notes: tuple[str, ...] = ()
    """What its reader has to be told: bounds, other temperatures."""
    settings: dict[str, Any] = field(default_factory=lambda: dict(PAPER), compare=False)
    """The table that the cell was made from, as JSON values; the paper's flat form."""

    @property
    def symmetric(self) -> bool:
        """Whether both directions are the same."""
        return self.up == self.down

    @property
    def population(self) -> str:
        """Which cells are meant, in words."""
        sigma = self.variation.sigma_ln_tau
        return f"sigma of ln tau {sigma:g}" if sigma else "all cells alike"

    @property
    def has_power(self) -> bool:
        """Whether currents and voltages are known, so that there are energies in pJ."""
        return self.up.has_power and self.down.has_power

    def switching_probability(self, pulse_ns: float) -> float:
        """Probability that a pulse of `pulse_ns` >= 0 switches the cell; Eq. 2 in the paper."""
        if self.symmetric and isinstance(self.up.switching, Tail):
            return self.up.switching.switching_probability(pulse_ns)
        return 1 - self.error_rate(pulse_ns)

    def error_rates(self, pulse_ns: float) -> tuple[float, float]:
        """Write-error rates of one pulse width for both directions, (down, up)."""
        up = self.up.switching.error_rate(pulse_ns)
        return (up if self.symmetric else self.down.switching.error_rate(pulse_ns)), up

    def error_rate(self, pulse_ns: float) -> float:
        """Write-error rate of a pulse of `pulse_ns` >= 0, the mean of both directions."""
        down, up = self.error_rates(pulse_ns)
        return (down + up) / 2

    def pulse_width_ns(self, rate: float) -> float:
        """Pulse width that leaves the mean write-error rate `rate`; infinite for 0.

        Raises:
            ConfigError: no pulse reaches the rate.
        """
        if self.symmetric:
            return self.up.switching.pulse_width_ns(rate)
        return _Mean(self.up.switching, self.down.switching).pulse_width_ns(rate)

    def write_energy_pj(self, pulse_ns: float, toggle_share: float = 0.5) -> float:
        """Mean energy of writing one bit with a pulse of `pulse_ns`: V I t, in pJ.

        Args:
            pulse_ns: pulse width, ns.
            toggle_share: share of written bits that have to switch; it counts where the current
                changes with the state. As many go up as down.

        Raises:
            ConfigError: the cell states no current or voltage.
        """
        if not self.has_power:
            raise ConfigError(f"cell {self.name}: states no current and voltage, so no energy")
        return self._energy(pulse_ns, toggle_share)

    def _energy(self, pulse_ns: float, toggle_share: float) -> float:
        each = [
            _mix(toggle_share, way.toggle_pj(pulse_ns), way.after_pj(pulse_ns))
            for way in (self.up, self.down)
        ]
        return _mix(0.5, *each)

    @property
    def reference_energy_pj(self) -> float:
        """Energy of writing one bit at the reference rate, pJ.

        Raises:
            ConfigError: the cell states no current or voltage.
        """
        return self.write_energy_pj(self.pulse_width_ns(REFERENCE_RATE))

    def saving_percent(self, pulse_ns: float) -> float:
        """Modelled write energy saved by `pulse_ns` against the reference rate, percent.

        Where no power is known, it is taken as the same all the time.
        """
        reference = self._energy(self.pulse_width_ns(REFERENCE_RATE), 0.5)
        return 100 * (1 - self._energy(pulse_ns, 0.5) / reference)

    def warnings(self, pulse_ns: float | None = None) -> list[str]:
        """What is doubtful about the cell, or about it at this pulse width."""
        found = list(self.notes)
        for way in (self.up, self.down):
            found += way.switching.warnings(pulse_ns)
        if self.temperature.kelvin != macrospin.ROOM_K:
            found.append("the temperature is taken for retention and read disturb, not for speed")
        return list(dict.fromkeys(found))

    def to_json(self) -> dict[str, Any]:
        """The table that `mtjkit_host.mtj.cell_file.cell_from_table` reads again."""
        return dict(self.settings)

    def describe(self) -> str:
        """The cell in a few words: its numbers in the paper's form, or its name."""
        way = self.up
        if self.symmetric and isinstance(way.switching, Tail) and way.after_ua is None:
            power = f"{way.voltage_v:g} V, {way.current_ua:g} µA, " if self.has_power else ""
            return f"{power}tau = {way.switching.tau_ns:g} ns"
        return self.name


def flat_cell(**values: float) -> Cell:
    """A cell of the paper's form, from any of tau_ns, current_ua, voltage_v.

    Values out of 1e-9..1e9 are refused by `cell_file.cell_from_table`, not here.
    """
    settings = {**PAPER, **{name: float(value) for name, value in values.items()}}
    way = Direction(Tail(settings["tau_ns"]), settings["current_ua"], settings["voltage_v"])
    name = "asano2024" if settings == PAPER else "own"
    return Cell(up=way, down=way, name=name, settings=settings)


@dataclass(frozen=True)
class _Mean(SwitchingModel):
    """The mean of both directions' error rates."""

    up: Switching
    down: Switching

    def log_rates(self, pulse_ns: Floats) -> Floats:
        logs = np.logaddexp(self.up.log_rates(pulse_ns), self.down.log_rates(pulse_ns))
        return np.asarray(logs - np.log(2))


def _mix(share: float, first: float, second: float) -> float:
    """`share` of the first and the rest of the second; equal values stay to the digit."""
    return first if first == second else share * first + (1 - share) * second
