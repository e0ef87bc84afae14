"""Error-correcting codes of memories: what is wrong after mending."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """A code of `bits` cells for `data_bits` data bits that mends `mends` wrong ones."""

    name: str
    """What --scheme takes."""
    bits: int
    """n: cells of a code word."""
    data_bits: int
    """k."""
    mends: int
    """t: wrong bits that are mended."""
    more_wrong: tuple[tuple[int, float], ...] = ()
    """(j, x): of j wrong bits the decoder makes j + x on average."""

    def left(self, rate: float) -> float:
        """Share of bits wrong after mending, where each is wrong with probability `rate` before.

        R = sum_(j>t) (j + x_j) / n C(n, j) p^j (1 - p)^(n - j).
        """
        if not 0 < rate < 1:
            return rate
        n, x = self.bits, dict(self.more_wrong)
        log, keep = math.log(rate), math.log1p(-rate)
        return sum(
            (j + x.get(j, 0.0)) / n * math.exp(_log_choose(n, j) + j * log + (n - j) * keep)
            for j in range(self.mends + 1, n + 1)
        )


def secded() -> Code:
    """Hsiao's (72, 64): mends one, sees two; of all triples 34,164 in 59,640 get a fourth error."""
    return Code("secded", 72, 64, 1, ((3, 34_164 / 59_640),))


def bch(mends: int, data_bits: int = 64) -> Code:
    """A shortened BCH code: 7 check bits an error for 64 data bits, 8 for 128."""
    check = {64: 7, 128: 8}[data_bits]
    name = f"bch:{mends}" + ("" if data_bits == 64 else f"/{data_bits}")
    return Code(name, data_bits + check * mends, data_bits, mends)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
