"""Write schemes on one axis: what a way to write leaves wrong, costs and takes.

`Scheme` says what each of them is. `Circuit`'s costs are 0 unless a cell states them.

a = share of written bits that toggle; S = a pulse's error rate; q_j = product of the first j
pulses' rates; w = bits of a memory word; m(T) = mean switching time, capped by T.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from mtjkit_core.errors import ConfigError

from mtjkit_host.mtj.cell import REFERENCE_RATE, Cell, Direction
from mtjkit_host.mtj.codes import Code, bch, secded
from mtjkit_host.mtj.scheme import Pulses, Scheme, Traffic, Write
from mtjkit_host.mtj.switching import Floats, integral
from mtjkit_host.parse import shown

_NOTHING = 1e-20  # an error rate that adds nothing to a word's time


def _ways(cell: Cell) -> tuple[Direction, Direction]:
    return cell.down, cell.up


class Fixed(Scheme):
    """One pulse for every bit, as the paper writes: rate S(t), energy P t, time t."""

    name = "fixed"

    def pulses_for(self, cell: Cell, rate: float, traffic: Traffic) -> Pulses:
        """See `Scheme.pulses_for`."""
        if not cell.symmetric or rate <= 0:
            return super().pulses_for(cell, rate, traffic)
        width = cell.pulse_width_ns(rate)
        return Pulses(width, width)

    def rates(self, cell: Cell, pulses: Pulses, traffic: Traffic) -> tuple[float, float]:
        """See `Scheme.rates`."""
        down, up = (way.switching.error_rate(t) for way, t in zip(_ways(cell), pulses, strict=True))
        return down, up

    def write(self, cell: Cell, pulses: Pulses, traffic: Traffic) -> Write:
        """See `Scheme.write`."""
        stay = [way.after_pj(t) for way, t in zip(_ways(cell), pulses, strict=True)]
        toggle = [way.toggle_pj(t) for way, t in zip(_ways(cell), pulses, strict=True)]
        more = [b - a for a, b in zip(stay, toggle, strict=True)]
        rates = self.rates(cell, pulses, traffic)
        return Write.of_ways(rates, stay, more, pulses.longest_ns, traffic.word_bits)


class PerDirection(Fixed):
    """A pulse width for each direction, the two that cost least for a mean error rate.

    Under tails the optimum is p_d ~ P_d tau_d x (pulses of d) / (toggles of d).
    """

    name = "directions"
    hangs_on_old_bits = True

    def pulses_for(self, cell: Cell, rate: float, traffic: Traffic) -> Pulses:
        """See `Scheme.pulses_for`: golden section over the rate up, by energy."""
        if cell.symmetric and traffic.up * (1 - traffic.ones) == traffic.down * traffic.ones:
            return super().pulses_for(cell, rate, traffic)
        if not traffic.up or not traffic.down:
            raise ConfigError(f"{self.name}: bits must toggle in both directions")

        def at(log_up: float) -> tuple[float, Pulses]:
            up = math.exp(log_up)
            down = (rate * traffic.toggle_share - traffic.up * up) / traffic.down
            widths = (
                cell.down.switching.pulse_width_ns(down),
                cell.up.switching.pulse_width_ns(up),
            )
            pulses = Pulses(*widths)
            return self.write(cell, pulses, traffic).per_bit_pj(traffic), pulses

        top = min(1.0, rate * traffic.toggle_share / traffic.up * (1 - 1e-9))
        low, high = math.log(top) - 12, math.log(top)
        golden = (math.sqrt(5) - 1) / 2
        for _ in range(80):
            span = golden * (high - low)
            if at(high - span)[0] < at(low + span)[0]:
                high = low + span
            else:
                low = high - span
        return at((low + high) / 2)[1]


class Terminated(Scheme):
    """A driver that ends each bit's current once it has switched, at the latest after a cap.

    Rate S(T); energy a P m(T) where circuits cost nothing. With detection and a shortest pulse,
    lo = max(min, detect): a P [lo + int_lo^T S(s - detect) ds] + (1 - a) P lo + monitor.
    Zhou et al., ICCAD 2009; measured: Dong et al., JSSC 54(1), 2019.
    """

    name = "terminated"
    uses = ("monitor_pj", "detect_ns", "min_ns")

    def rates(self, cell: Cell, pulses: Pulses, traffic: Traffic) -> tuple[float, float]:
        """See `Scheme.rates`."""
        return Fixed().rates(cell, pulses, traffic)

    def write(self, cell: Cell, pulses: Pulses, traffic: Traffic) -> Write:
        """See `Scheme.write`."""
        c = cell.circuit
        stay, more = [], []
        for way, cap in zip(_ways(cell), pulses, strict=True):
            mean = way.switching.mean_switching_ns
            least = min(cap, max(c.min_ns, c.detect_ns))
            on = least + mean(max(0.0, cap - c.detect_ns)) - mean(max(0.0, least - c.detect_ns))
            before = mean(cap)
            stay.append(way.after_pj(least) + c.monitor_pj)
            toggle = way.before_pj(before) + way.after_pj(on - before)
            more.append(toggle - way.after_pj(least))
        least = min(pulses.longest_ns, max(c.min_ns, c.detect_ns))
        time = least + _word_time(cell, pulses, traffic, c.detect_ns, least)
        return Write.of_ways(self.rates(cell, pulses, traffic), stay, more, time, traffic.word_bits)


def _word_time(
    cell: Cell, pulses: Pulses, traffic: Traffic, delay_ns: float = 0.0, start_ns: float = 0.0,
    others: int = 0, own: Callable[[Floats], Floats] | None = None,
) -> float:  # fmt: skip
    """Mean time from `start_ns` until every bit of a word is done: int 1 - (1 - a S)^w.

    Args:
        cell, pulses, traffic: what is written.
        delay_ns: a bit is done so long after it has switched.
        start_ns: the integral's start.
        others: bits of the word that are left out.
        own: S of one more bit, which has to switch.
    """
    bits = traffic.word_bits - others
    ends = [
        min(t, way.switching.pulse_width_ns(_NOTHING) + delay_ns)
        for way, t in zip(_ways(cell), pulses, strict=True)
    ]

    def waiting(s: Floats) -> Floats:
        done = np.ones_like(s)
        for way, share, cap in zip(_ways(cell), (traffic.down, traffic.up), pulses, strict=True):
            wrong = np.exp(way.switching.log_rates(np.maximum(0.0, s - delay_ns)))
            done = done - share * np.where(s <= cap, wrong, 0.0)
        free = np.maximum(done, 0.0) ** bits
        return np.asarray(1 - free if own is None else 1 - free * (1 - own(s)))

    low, high = sorted(max(start_ns, end) for end in ends)
    return integral(waiting, start_ns, low) + integral(waiting, low + 1e-12 * low, high)


class WordTerminated(Scheme):
    """All drivers of a word stay on until its last bit has switched, at the latest after a cap.

    Rate S(T); energy P int_0^T [1 - (1 - a S)^w] ds and the same time.
    """

    name = "word"
    uses = ("monitor_pj",)

    def rates(self, cell: Cell, pulses: Pulses, traffic: Traffic) -> tuple[float, float]:
        """See `Scheme.rates`."""
        return Fixed().rates(cell, pulses, traffic)

    def write(self, cell: Cell, pulses: Pulses, traffic: Traffic) -> Write:
        """See `Scheme.write`; one cap counts, the longer one."""
        cap = pulses.longest_ns
        both = Pulses(cap, cap)
        idle = _word_time(cell, both, traffic, others=1)
        stay, more = [], []
        for way in _ways(cell):

            def own(s: Floats, way: Direction = way) -> Floats:
                return np.asarray(np.exp(way.switching.log_rates(s)))

            on = _word_time(cell, both, traffic, others=1, own=own)
            before = way.switching.mean_switching_ns(cap)
            stay.append(way.after_pj(idle) + cell.circuit.monitor_pj)
            toggle = way.before_pj(before) + way.after_pj(on - before)
            more.append(toggle - way.after_pj(idle))
        time = _word_time(cell, both, traffic)
        return Write.of_ways(self.rates(cell, both, traffic), stay, more, time, traffic.word_bits)


@dataclass(frozen=True)
class Retry(Scheme):
    """Write, read, write again what is wrong: up to `rounds` pulses t, t g, t g^2, ...

    Rate q_k; energy P t_1 + a sum_(j>=2) P t_j q_(j-1) + read sum_(j<k) R_j, where round j comes
    with R_j = 1 - (1 - a q_(j-1))^w. Every pulse starts anew: a cell keeps nothing between pulses.
    """

    rounds: int = 4
    """k: pulses at most."""
    growth: float = 1.0
    """g: the length of each pulse divided by the length of the one before."""
    whole_word: bool = False
    """Write the whole word again in place of its wrong bits."""

    uses = ("read_pj", "read_ns")

    @property
    def name(self) -> str:  # type: ignore[override]
        """What --scheme takes."""
        growth = f"x{self.growth:g}" if self.growth != 1 else ""
        return f"retry{'-word' if self.whole_word else ''}:{self.rounds}{growth}"

    def _steps(self, first_ns: float) -> list[float]:
        return [first_ns * self.growth**j for j in range(self.rounds)]

    def _left(self, way: Direction, first_ns: float) -> list[float]:
        """Products q_0 to q_k of the rates."""
        left = [1.0]
        for t in self._steps(first_ns):
            left.append(left[-1] * way.switching.error_rate(t))
        return left

    def rates(self, cell: Cell, pulses: Pulses, traffic: Traffic) -> tuple[float, float]:
        """See `Scheme.rates`."""
        down, up = (self._left(way, t)[-1] for way, t in zip(_ways(cell), pulses, strict=True))
        return down, up

    def write(self, cell: Cell, pulses: Pulses, traffic: Traffic) -> Write:
        """See `Scheme.write`."""
        c, w = cell.circuit, traffic.word_bits
        left = [self._left(way, t) for way, t in zip(_ways(cell), pulses, strict=True)]
        wrong = [traffic.down * down + traffic.up * up for down, up in zip(*left, strict=True)]
        comes = [1.0, *(1 - (1 - share) ** w for share in wrong[1:-1])]
        by_others = [1.0, *(1 - (1 - share) ** (w - 1) for share in wrong[1:-1])]
        stay, more = [], []
        for way, first, q in zip(_ways(cell), pulses, left, strict=True):
            idle = toggle = 0.0
            for j, t in enumerate(self._steps(first)):
                again = by_others[j] if self.whole_word else float(j == 0)
                idle += again * way.after_pj(t)
                toggle += q[j] * way.toggle_pj(t) + (1 - q[j]) * again * way.after_pj(t)
            stay.append(idle)
            more.append(toggle - idle)
        reads = sum(comes[:-1])
        time = sum(
            share * max(steps)
            for share, steps in zip(
                comes, zip(*(self._steps(t) for t in pulses), strict=True), strict=True
            )
        )
        rates = left[0][-1], left[1][-1]
        time += reads * c.read_ns
        return Write.of_ways(rates, stay, more, time, w, word_pj=reads * w * c.read_pj)


@dataclass(frozen=True)
class Ecc(Scheme):
    """A code that mends some wrong bits of a word: rate R(p), energy P t n / k + decode.

    `codes.Code.left` is R; every cell of the code word is taken as one that has to toggle.
    """

    code: Code
    """The code."""

    uses = ("decode_pj",)

    @property
    def name(self) -> str:  # type: ignore[override]
        """What --scheme takes."""
        return self.code.name

    def rates(self, cell: Cell, pulses: Pulses, traffic: Traffic) -> tuple[float, float]:
        """See `Scheme.rates`."""
        down, up = Fixed().rates(cell, pulses, traffic)
        raw = traffic.mean(down, up)
        if not raw:
            return 0.0, 0.0
        share = self.code.left(raw) / raw
        return min(1.0, down * share), min(1.0, up * share)

    def write(self, cell: Cell, pulses: Pulses, traffic: Traffic) -> Write:
        """See `Scheme.write`."""
        plain = Fixed().write(cell, pulses, traffic)
        more = self.code.bits / self.code.data_bits
        decode = cell.circuit.decode_pj
        stay = [plain.pj_zero * more + decode, plain.pj_one * more + decode]
        toggle = [plain.pj_down * more, plain.pj_up * more]
        rates = self.rates(cell, pulses, traffic)
        return Write.of_ways(rates, stay, toggle, plain.latency_ns, traffic.word_bits)


class Differential(Scheme):
    """Read first, and write only the bits that differ: rate S(t), energy read + a P t."""

    name = "differential"
    uses = ("read_pj", "read_ns")
    reads_first = True
    hangs_on_old_bits = True

    def rates(self, cell: Cell, pulses: Pulses, traffic: Traffic) -> tuple[float, float]:
        """See `Scheme.rates`."""
        return Fixed().rates(cell, pulses, traffic)

    def write(self, cell: Cell, pulses: Pulses, traffic: Traffic) -> Write:
        """See `Scheme.write`."""
        c, w = cell.circuit, traffic.word_bits
        toggle = [way.toggle_pj(t) for way, t in zip(_ways(cell), pulses, strict=True)]
        # The word's pulse is the longest that one of its bits needs.
        order = sorted(zip(pulses, (traffic.down, traffic.up), strict=True))
        (short, _), (long, share) = order
        needs_long = 1 - (1 - share) ** w
        needs_any = 1 - (1 - traffic.toggle_share) ** w
        time = long * needs_long + short * (needs_any - needs_long)
        rates = self.rates(cell, pulses, traffic)
        return Write.of_ways(rates, [c.read_pj] * 2, toggle, c.read_ns + time, w)


class FlipNWrite(Scheme):
    """Read first; store the word or its inverse and a flag bit, whichever toggles fewer cells.

    Energy read + P t F with F = sum_x Bin(x; w, a) min(x, w + 1 - x) / w. The flag is a cell like
    the others, and where its write fails the whole word is read inverted: the error rate of a
    data bit counts that. Both directions are taken together.
    """

    name = "flip-n-write"
    uses = ("read_pj", "read_ns")
    reads_first = True
    hangs_on_old_bits = True

    def rates(self, cell: Cell, pulses: Pulses, traffic: Traffic) -> tuple[float, float]:
        """See `Scheme.rates`: wrong data bits over bits that differ."""
        s = traffic.mean(*Fixed().rates(cell, pulses, traffic))
        a, w = traffic.toggle_share, traffic.word_bits
        if not a:
            return s, s
        wrong = 0.0
        for x, share in enumerate(_binomial(w, a)):
            if 2 * x <= w + 1:
                wrong += share * x * s
            else:
                cells = w - x
                wrong += share * ((1 - s) * cells * s + s * (w - cells * s))
        rate = min(1.0, wrong / (w * a))
        return rate, rate

    def write(self, cell: Cell, pulses: Pulses, traffic: Traffic) -> Write:
        """See `Scheme.write`."""
        c, w = cell.circuit, traffic.word_bits
        one = traffic.mean(*(way.toggle_pj(t) for way, t in zip(_ways(cell), pulses, strict=True)))
        cells = toggled_cells(w, traffic.toggle_share) * w
        none = (1 - traffic.toggle_share) ** w
        rates = self.rates(cell, pulses, traffic)
        time = c.read_ns + pulses.longest_ns * (1 - none)
        return Write.of_ways(rates, [c.read_pj] * 2, [0.0] * 2, time, w, word_pj=cells * one)


def toggled_cells(word_bits: int, toggle_share: float) -> float:
    """F of flip-N-write: cells that toggle, the flag's among them, over data bits."""
    return sum(
        share * min(x, word_bits + 1 - x) / word_bits
        for x, share in enumerate(_binomial(word_bits, toggle_share))
    )


def _binomial(n: int, p: float) -> list[float]:
    return [math.comb(n, x) * p**x * (1 - p) ** (n - x) for x in range(n + 1)]


def reference_write(cell: Cell, traffic: Traffic) -> tuple[Pulses, Write]:
    """The conventional write: one fixed pulse that leaves the error rate `REFERENCE_RATE`."""
    pulses = Fixed().pulses_for(cell, REFERENCE_RATE, traffic)
    return pulses, Fixed().write(cell, pulses, traffic)


def saving_percent(cell: Cell, scheme: Scheme, pulses: Pulses, traffic: Traffic) -> float | None:
    """Write energy saved against `reference_write` of the same cell and traffic, percent.

    None where the cell states no power but its circuit costs energy: they cannot be added.
    """
    costs = [name for name in scheme.uses if name.endswith("_pj") and getattr(cell.circuit, name)]
    if costs and not cell.has_power:
        return None
    reference = reference_write(cell, traffic)[1].per_bit_pj(traffic)
    return 100 * (1 - scheme.write(cell, pulses, traffic).per_bit_pj(traffic) / reference)


def doubts(cell: Cell, scheme: Scheme) -> list[str]:
    """What is doubtful about a scheme on a population of cells, in sentences."""
    if cell.variation.sigma_ln_tau and isinstance(scheme, Retry):
        return [
            f"{scheme.name} takes the pulses on one cell as independent, but a slow cell stays "
            "slow: rates and energies are too low"
        ]
    return []


SCHEMES = (
    "fixed", "directions", "terminated", "word", "retry:4", "retry:4x2", "retry-word:4", "secded",
    "bch:2", "bch:3", "bch:3/128", "differential", "flip-n-write",
)  # fmt: skip
"""Every kind of scheme, as --scheme takes it; the numbers of retry and bch are examples."""


def parse_scheme(text: str) -> Scheme:
    """A scheme by its name: see `SCHEMES`.

    Raises:
        ConfigError: the scheme is unknown.
    """
    plain: dict[str, Callable[[], Scheme]] = {
        "fixed": Fixed,
        "directions": PerDirection,
        "terminated": Terminated,
        "word": WordTerminated,
        "differential": Differential,
        "flip-n-write": FlipNWrite,
        "secded": lambda: Ecc(secded()),
    }
    if text in plain:
        return plain[text]()
    kind, _, rest = text.partition(":")
    try:
        if kind in ("retry", "retry-word"):
            rounds, grows, growth = rest.partition("x")
            found = Retry(int(rounds), float(growth) if grows else 1.0, kind == "retry-word")
            if 1 <= found.rounds <= 64 and 1 <= found.growth <= 16:
                return found
        if kind == "bch":
            mends, _, data = rest.partition("/")
            if 1 <= int(mends) <= 8 and (data or "64") in ("64", "128"):
                return Ecc(bch(int(mends), int(data or 64)))
    except ValueError:
        pass
    raise ConfigError(f"--scheme is one of {', '.join(SCHEMES)}, not {shown(text)}")
