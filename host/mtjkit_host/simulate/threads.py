"""Images spread over threads: compiled code runs without Python's lock."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise


def share_out(
    count: int, threads: int, part: Callable[[int, int], None], most: int | None = None
) -> None:
    """Call `part(at, end)` for ranges that make up 0 .. count, on up to `threads` threads.

    Args:
        count: 0 or more.
        threads: with 1 the calls run one after the other in this thread.
        part: takes a range; must not depend on how the ranges are cut.
        most: the longest range; None for any.
    """
    # Several parts a thread, so that one that is held up does not keep the others waiting.
    parts = min(count, threads * 4) if threads > 1 else 1
    if most is not None:
        parts = max(parts, -(-count // most))
    edges = [count * k // parts for k in range(parts + 1)] if count else [0]
    if threads == 1:
        for at, end in pairwise(edges):
            part(at, end)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(part, edges[:-1], edges[1:]))
