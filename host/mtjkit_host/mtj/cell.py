"""The MTJ cell: how long a write pulse is, how often it fails, what it costs.

Asano, Natsui, Hanyu, "Error-Tolerance-Aware Write-Energy Reduction of MTJ-Based Quantized Neural
Network Hardware", IEICE Trans. Inf. & Syst., 2024, doi 10.1587/transinf.2023LOP0007.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path

from mtjkit_core.errors import ConfigError

from mtjkit_host.parse import shown
from mtjkit_host.settings import parse_table, read_text

REFERENCE_RATE = 1e-8
"""Write-error rate of the conventional, "error-free" write: the paper's 10^-6 percent."""


@dataclass(frozen=True)
class Cell:
    """One MTJ cell under a fixed write current. The defaults are the paper's."""

    tau_ns: float = 14.8
    """Characteristic switching time at this current, ns (Sect. 4.2)."""
    current_ua: float = 150.0
    """Write current, uA (Sect. 4.2)."""
    voltage_v: float = 1.08
    """Voltage across the cell, V: the one value that gives Table 2's energies to the digit."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ConfigError(f"cell: {field.name} must be a number, not {shown(value)}")
            if not 1e-9 <= value <= 1e9:
                raise ConfigError(
                    f"cell: {field.name} must lie between 1e-9 and 1e9, not {shown(value)}"
                )
            object.__setattr__(self, field.name, float(value))

    def switching_probability(self, pulse_ns: float) -> float:
        """Probability that a pulse of `pulse_ns` >= 0 switches the cell: Eq. 2, 1 - exp(-t/tau)."""
        return -math.expm1(-pulse_ns / self.tau_ns)

    def error_rate(self, pulse_ns: float) -> float:
        """Write-error rate of a pulse of `pulse_ns` >= 0: exp(-t/tau)."""
        return math.exp(-pulse_ns / self.tau_ns)

    def pulse_width_ns(self, rate: float) -> float:
        """Pulse width that leaves the write-error rate `rate`: -tau ln(rate); infinite for 0."""
        return abs(self.tau_ns * math.log(rate)) if rate > 0 else math.inf

    def write_energy_pj(self, pulse_ns: float) -> float:
        """Energy of writing one bit with a pulse of `pulse_ns`: V I t, in pJ."""
        return self.voltage_v * self.current_ua * pulse_ns * 1e-3

    @property
    def reference_energy_pj(self) -> float:
        """Energy of writing one bit at the reference rate, pJ."""
        return self.write_energy_pj(self.pulse_width_ns(REFERENCE_RATE))

    def saving_percent(self, pulse_ns: float) -> float:
        """Modelled write energy saved by `pulse_ns` against the reference rate, percent."""
        return 100 * (1 - self.write_energy_pj(pulse_ns) / self.reference_energy_pj)


def load_cell(path: str | Path) -> Cell:
    """Read a cell from a TOML or (where the name ends in .json) JSON file.

    The file sets any of tau_ns, current_ua, voltage_v; what it leaves out is the paper's.

    Raises:
        ConfigError: the file cannot be read, or holds anything else.
    """
    file = Path(path)
    what = f"cell file {file}"
    values = parse_table(read_text(file, what), what, "JSON" if file.suffix == ".json" else "TOML")
    known = [field.name for field in fields(Cell)]
    if not values:
        raise ConfigError(f"{what}: sets none of {', '.join(known)}")
    for name in values:
        if name not in known:
            raise ConfigError(f"{what}: {shown(name)} is unknown; it may set {', '.join(known)}")
    try:
        return Cell(**values)
    except ConfigError as error:
        raise ConfigError(f"{what}: {error}") from None
