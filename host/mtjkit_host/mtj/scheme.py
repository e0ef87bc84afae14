"""What a write scheme is: pulses and traffic in, error rates, energy and time of a write out.

A scheme is a class with `rates` and `write`; `mtjkit_host.mtj.schemes` has all of them. Its energy
is linear in what a run counts: bits written as 1 and as 0, bits that had to toggle up and down,
words. So a run's energy is one dot product, and the emulated memory needs to know nothing of
schemes. Everything is per data bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mtjkit_core.errors import ConfigError

from mtjkit_host.mtj.cell import Cell, Circuit

_LONGEST_NS = 1e12


class Pulses(NamedTuple):
    """Pulse widths of both directions: a fixed width, a cap, or the first of several pulses."""

    down_ns: float
    """For writing a 0."""
    up_ns: float
    """For writing a 1."""

    @property
    def longest_ns(self) -> float:
        """The longer one: what a word takes."""
        return max(self)


@dataclass(frozen=True)
class Traffic:
    """What is written: shares of the written bits, and the word."""

    down: float = 0.25
    """Share of written bits that have to go down (a 0 over a 1)."""
    up: float = 0.25
    """Share of written bits that have to go up (a 1 over a 0)."""
    ones: float = 0.5
    """Share of ones among the written bits."""
    word_bits: int = 32
    """Bits that are written together."""

    def __post_init__(self) -> None:
        if not (0 <= self.up <= self.ones + 1e-12 and 0 <= self.down <= 1 - self.ones + 1e-12):
            raise ConfigError("traffic: more bits toggle than are written with that value")

    @property
    def toggle_share(self) -> float:
        """a: share of written bits that have to toggle."""
        return self.down + self.up

    @classmethod
    def even(cls, toggle_share: float = 0.5, word_bits: int = 32) -> Traffic:
        """As many ones as zeros, and as many up as down."""
        return cls(toggle_share / 2, toggle_share / 2, 0.5, word_bits)

    @classmethod
    def of_run(cls, written: int, ones: int, down: int, up: int, word_bits: int = 32) -> Traffic:
        """The shares that a run has counted."""
        if not written:
            return cls.even(0.0, word_bits)
        return cls(down / written, up / written, ones / written, word_bits)

    def mean(self, down: float, up: float) -> float:
        """Mean over the bits that toggle; over both directions alike where none does."""
        if not self.toggle_share:
            return (down + up) / 2
        return (self.down * down + self.up * up) / self.toggle_share


@dataclass(frozen=True)
class Write:
    """What one write of a word does, by the bit; energies in pJ."""

    rate_down: float
    """Error rate, in the end, of a bit that has to go down."""
    rate_up: float
    """The same for up."""
    pj_zero: float
    """Energy of a written 0."""
    pj_one: float
    """Energy of a written 1."""
    pj_down: float
    """What a bit that has to go down costs more."""
    pj_up: float
    """What a bit that has to go up costs more."""
    pj_word: float
    """Energy of a word, beside its bits'."""
    latency_ns: float
    """Mean time of a word."""
    word_bits: int
    """Data bits of a word."""

    @classmethod
    def of_ways(
        cls,
        rates: tuple[float, float],
        stay: Sequence[float],
        more: Sequence[float],
        latency_ns: float,
        word_bits: int,
        word_pj: float = 0.0,
    ) -> Write:
        """From pairs (down, up): error rates, energy of a bit that stays, more if it toggles."""
        return cls(
            rate_down=rates[0],
            rate_up=rates[1],
            pj_zero=stay[0],
            pj_one=stay[1],
            pj_down=more[0],
            pj_up=more[1],
            pj_word=word_pj,
            latency_ns=latency_ns,
            word_bits=word_bits,
        )

    def total_pj(self, written: int, ones: int, down: int, up: int) -> float:
        """Energy of a run from its counts: bits written, ones among them, bits down and up."""
        return (
            written * self.pj_zero
            + ones * (self.pj_one - self.pj_zero)
            + down * self.pj_down
            + up * self.pj_up
            + written / self.word_bits * self.pj_word
        )

    def per_bit_pj(self, traffic: Traffic) -> float:
        """Mean energy of a data bit."""
        return (
            self.pj_zero
            + traffic.ones * (self.pj_one - self.pj_zero)
            + traffic.down * self.pj_down
            + traffic.up * self.pj_up
            + self.pj_word / self.word_bits
        )


class Scheme(ABC):
    """A way to write. `name` is what --scheme takes."""

    name: str
    uses: tuple[str, ...] = ()
    """Fields of `Circuit` that count."""
    reads_first = False
    """Whether it leaves cells alone that hold the bit already, so that only `keep` errors fit."""
    hangs_on_old_bits = False
    """Whether its energy or its best pulses hang on what the cells held: on how they are erased."""

    @abstractmethod
    def rates(self, cell: Cell, pulses: Pulses, traffic: Traffic) -> tuple[float, float]:
        """Error rates that are left, (down, up), of bits that have to toggle."""

    @abstractmethod
    def write(self, cell: Cell, pulses: Pulses, traffic: Traffic) -> Write:
        """All about writing a word with these pulses."""

    def pulses_for(self, cell: Cell, rate: float, traffic: Traffic) -> Pulses:
        """The pulse, one for both directions, that leaves the mean error rate `rate`.

        Raises:
            ConfigError: no pulse does.
        """
        if rate <= 0:
            raise ConfigError(f"{self.name}: no pulse is long enough for the error rate 0")

        def left(time: float) -> float:
            return traffic.mean(*self.rates(cell, Pulses(time, time), traffic))

        low, high = 0.0, 1.0
        while left(high) > rate:
            low, high = high, 2 * high
            if high > _LONGEST_NS:
                raise ConfigError(
                    f"{self.name}: no pulse reaches the error rate {rate:g} with this cell, the "
                    f"longest leaves {left(low):.2g}; check the cell file's numbers, or fit "
                    "another model (cell-fit --model tail)"
                )
        while high - low > 1e-14 * high:
            middle = (low + high) / 2
            low, high = (middle, high) if left(middle) > rate else (low, middle)
        return Pulses((low + high) / 2, (low + high) / 2)

    def overheads(self, circuit: Circuit) -> str:
        """The circuit's costs that count here, as text; they are shown with every energy."""
        return ", ".join(f"{name} {getattr(circuit, name):g}" for name in self.uses) or "none"
