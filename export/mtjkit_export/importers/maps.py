"""A tensor of a network as the lowering sees it: a function of one whole number at each place.

Between two layers every element depends on one number: a byte of the input, a bit, or a sum. `Map`
holds that function, evaluated as the graph does it, in float32 and in its order. A threshold is not
derived: it is where the function, on all sums that can occur, goes from one value to the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtjkit_export.importers import operators
from mtjkit_export.importers.graph import Array, Node, checked_size, refuse

Evaluate = Callable[[slice, dict[int, Array]], Array]
BLOCK = 1 << 20
"""Values of a function that are in memory at once."""
MAX_POINTS = 1 << 34
"""Values of a function that are computed for one layer: some minutes."""
MAX_VALUES = 1 << 27
"""Values of one channel's functions that are in memory at once."""
LONGEST_CHAIN = 64


@dataclass(frozen=True, eq=False)
class Source:
    """What the elements depend on."""

    kind: str
    """input, bits, sums or average."""
    shape: tuple[int, int, int]
    """(channels, height, width)."""
    points: NDArray[np.int64]
    """All numbers that can occur, ascending, (k,)."""
    layer: Any = None
    """The layer that makes it: `state.Linear` or `state.Pooled`; None for the input."""

    @property
    def positions(self) -> int:
        """Elements of one channel."""
        return self.shape[1] * self.shape[2]


@dataclass(frozen=True, eq=False)
class Map:
    """One tensor."""

    source: Source
    """What its values follow from."""
    index: NDArray[np.int64]
    """In the tensor's shape: which element of the source (channel first) each element is."""
    function: Evaluate
    """(block of channels, memo) -> values (channels, points)."""
    length: int = 0
    """Operators since the source."""
    before: Map | None = None
    """The map that the last operator read."""
    padding: tuple[int, int, int, int, float] = (0, 0, 0, 0, 0.0)
    """Top, left, bottom, right and the value, of a Pad operator."""

    @property
    def channels(self) -> int:
        """Channels of the source."""
        return self.source.shape[0]

    def values(self, block: slice, memo: dict[int, Array] | None = None) -> Array:
        """The function on all points, for some channels: (channels, points)."""
        memo = {} if memo is None else memo
        if id(self) not in memo:
            memo[id(self)] = self.function(block, memo)
        return memo[id(self)]

    def blocks(self) -> list[slice]:
        """Blocks of channels that fit into memory.

        Raises:
            ConfigError: there are too many points.
        """
        points = len(self.source.points)
        if points * self.channels > MAX_POINTS or points * self.length > MAX_VALUES:
            raise refuse(f"a layer with {points} possible sums in {self.channels} channels")
        step = max(1, BLOCK // points)
        return [slice(c, min(c + step, self.channels)) for c in range(0, self.channels, step)]

    def table(self) -> Array:
        """All values, (channels, points): for inputs, bits and averages."""
        checked_size((self.channels, len(self.source.points)), "a table of values")
        return np.concatenate([self.values(block) for block in self.blocks()])

    def channel_of(self) -> NDArray[np.int64]:
        """The channel of each element, in the tensor's shape."""
        return self.index // self.source.positions

    def per_channel(self, constant: Array, node: Node) -> Array:
        """A constant, broadcast to the tensor, as one value for each channel: (channels, 1).

        Raises:
            ConfigError: it differs within a channel.
        """
        if constant.size == 1:
            return constant.reshape(1, 1)
        try:
            full = np.broadcast_to(constant, self.index.shape)
        except ValueError:
            raise refuse(
                f"{node} takes {constant.shape} to a tensor of {self.index.shape}"
            ) from None
        channel = self.channel_of()
        vector = np.zeros(self.channels, constant.dtype)
        vector[channel] = full
        if not np.array_equal(vector[channel], full):
            raise refuse(f"{node} has a constant that differs within a channel")
        return vector[:, None]

    def axis_channels(self, axis: int, length: int, node: Node) -> NDArray[np.int64]:
        """Which entry of a constant along an axis belongs to each channel, (channels,)."""
        if axis >= self.index.ndim or self.index.shape[axis] != length:
            raise refuse(f"{node} has {length} constants for a tensor of {self.index.shape}")
        places = np.arange(length).reshape([-1 if a == axis else 1 for a in range(self.index.ndim)])
        return self.per_channel(np.broadcast_to(places, self.index.shape), node)[:, 0] + np.zeros(
            self.channels, np.int64
        )


def apply(node: Node, operands: list[Map | Array | None]) -> Map:
    """An operator that computes each element by itself, on maps of one source and constants.

    Raises:
        ConfigError: the maps do not belong together, or a constant differs within a channel.
    """
    maps = [operand for operand in operands if isinstance(operand, Map)]
    first = maps[0]
    for other in maps[1:]:
        if other.source is not first.source or not np.array_equal(other.index, first.index):
            raise refuse(f"{node} joins two maps (a residual connection or a concatenation)")
    if any(any(m.padding[:4]) for m in maps):
        raise refuse(f"{node} comes between padding and a convolution")
    length = 1 + max(m.length for m in maps)
    if length > LONGEST_CHAIN:
        raise refuse(f"{node}: more than {LONGEST_CHAIN} operators between two layers")
    if node.op in operators.PER_CHANNEL:
        # A margin is measured where a sign is at 0, not at thresholds of their own.
        before = None if node.op == "MultiThreshold" else first
        function = _axis_function(node, first, operands)
        return replace(first, function=function, length=length, before=before)
    fixed = [
        o if o is None or isinstance(o, Map) else first.per_channel(np.asarray(o), node)
        for o in operands
    ]

    def elementwise(block: slice, memo: dict[int, Array]) -> Array:
        given: list[Array | None] = []
        for operand in fixed:
            if isinstance(operand, Map):
                given.append(operand.values(block, memo))
            elif operand is None or len(operand) == 1:
                given.append(operand)
            else:
                given.append(operand[block])
        return operators.run(node, given)

    return replace(first, function=elementwise, length=length, before=first)


def _axis_function(node: Node, x: Map, operands: list[Map | Array | None]) -> Evaluate:
    constants = [operand for operand in operands[1:] if not isinstance(operand, Map)]
    if len(constants) != len(operands) - 1 or any(c is None for c in constants):
        raise refuse(f"{node} computes its parameters")
    arrays = [np.asarray(c) for c in constants]
    if node.op == "BatchNormalization":
        if len(arrays) != 4 or any(a.ndim != 1 or len(a) != len(arrays[0]) for a in arrays):
            raise refuse(f"{node} needs four vectors of parameters of one length")
        if node.attributes.get("training_mode", 0):
            raise refuse(f"{node} is in training mode: export the network in evaluation mode")
        order = x.axis_channels(1, len(arrays[0]), node)
        columns = [a.astype(np.float32)[order][:, None] for a in arrays]
        eps = float(node.attributes.get("epsilon", 1e-5))

        def norm(block: slice, memo: dict[int, Array]) -> Array:
            with np.errstate(all="ignore"):
                own = [column[block] for column in columns]
                return operators.batch_norm(x.values(block, memo), *own, eps=eps)

        return norm
    if len(arrays) != 1 or arrays[0].ndim != 2:
        raise refuse(f"{node} needs thresholds of (channels, steps)")
    steps = arrays[0]
    layout = str(node.attributes.get("data_layout", "NCHW"))
    axis = x.index.ndim - 1 if layout in ("NHWC", "NWC") else 1
    if len(steps) == 1:
        rows = np.broadcast_to(steps, (x.channels, steps.shape[1]))
    else:
        rows = steps[x.axis_channels(axis, len(steps), node)]

    def thresholds(block: slice, memo: dict[int, Array]) -> Array:
        return operators.multi_threshold(node, x.values(block, memo), rows[block][:, None, :])

    return thresholds


@dataclass
class Steps:
    """Where the function of each channel goes from one value to another."""

    threshold: NDArray[np.int64]
    """(channels,): the first sum with the second value."""
    first: NDArray[np.float32]
    """(channels,): value below the threshold."""
    second: NDArray[np.float32]
    """(channels,): value from the threshold on; equal to `first` where it is constant."""
    margin: float = np.inf
    """Smallest distance of a sum from where the value changes, in steps from sum to sum."""
    place: int = 0
    """Channel of the smallest margin."""
    zeros: int = 0
    """Channels with a third value in one sum only, which is 0: sign(0)."""
    constant: int = field(default=0)
    """Channels with one value."""


def find_steps(x: Map) -> Steps | None:
    """Thresholds of a map over sums; None if a channel has more than two values."""
    n = x.channels
    found = Steps(np.zeros(n, np.int64), np.zeros(n, np.float32), np.zeros(n, np.float32))
    points = x.source.points
    for block in x.blocks():
        memo: dict[int, Array] = {}
        values = np.asarray(x.values(block, memo), np.float32)
        values = np.broadcast_to(values, (block.stop - block.start, len(points)))
        if np.isnan(values).any():
            raise refuse("a layer computes values that are not numbers")
        first, second = values[:, 0], values[:, -1]
        other = values != first[:, None]
        at = np.where(other.any(axis=1), other.argmax(axis=1), 0)
        after = np.arange(len(points)) >= at[:, None]
        steps = first != second
        wrong = np.where(steps[:, None], other != after, other)
        later = np.where(steps[:, None], other & (values != second[:, None]), other)
        if wrong.any() or later.any():
            if not np.isin(values, [-1, 0, 1]).all() or (values == 0).sum(axis=1).max() > 1:
                return None
            found.zeros += int((values == 0).any(axis=1).sum())
            continue
        found.threshold[block] = points[at]
        found.first[block] = first
        found.second[block] = second
        found.constant += int((~steps).sum())
        _measure_margin(found, x, block, at, steps, memo)
    return found


def _measure_margin(
    found: Steps, x: Map, block: slice, at: Array, steps: Array, memo: dict[int, Array]
) -> None:
    """How near the value before the sign comes to 0, in steps between two sums."""
    if x.before is None or not steps.any():
        return
    before = np.broadcast_to(
        np.asarray(x.before.values(block, memo), np.float64), (len(at), len(x.source.points))
    )
    rows = np.flatnonzero(steps)
    low, high = before[rows, at[rows] - 1], before[rows, at[rows]]
    gap = np.abs(high - low)
    crosses = (low * high <= 0) & (gap > 0) & np.isfinite(gap)
    if crosses.any():
        near = np.minimum(np.abs(low), np.abs(high))[crosses] / gap[crosses]
        if near.min() < found.margin:
            found.margin = float(near.min())
            found.place = int(block.start + rows[crosses][near.argmin()])
