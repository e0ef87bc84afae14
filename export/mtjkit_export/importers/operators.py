"""Operators in numpy: float32, in ONNX's order of operations.

Sums of products are exact: a linear operator computes in float64 on whole numbers: see
`evaluate.linear`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from mtjkit_export.importers.graph import MAX_MADE, Array, Node, checked_size, refuse

Operator = Callable[..., Array]

LINEAR = ("Conv", "MatMul", "Gemm")
POOLS = ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool")
REDUCES = {"ReduceMean": "GlobalAveragePool", "ReduceMax": "GlobalMaxPool"}
"""Operators that pool a map where they go over its height and width."""


def _float(x: Array) -> Array:
    return np.asarray(x, np.float32)


def _batch_norm(node: Node, x: Array, scale: Array, bias: Array, mean: Array, var: Array) -> Array:
    if node.attributes.get("training_mode", 0):
        raise refuse(f"{node} is in training mode: export the network in evaluation mode")
    shape = (1, -1) + (1,) * (x.ndim - 2)
    scale, bias, mean, var = (_float(v).reshape(shape) for v in (scale, bias, mean, var))
    return batch_norm(x, scale, bias, mean, var, eps=node.attributes.get("epsilon", 1e-5))


def batch_norm(
    x: Array, scale: Array, bias: Array, mean: Array, var: Array, *, eps: float
) -> Array:
    """(x - mean) / sqrt(var + eps) * scale + bias, in float32 and in this order, broadcast."""
    return np.asarray((_float(x) - mean) / np.sqrt(var + np.float32(eps)) * scale + bias)


def _quant(node: Node, x: Array, scale: Array, zero: Array, bits: Array) -> Array:
    width = float(np.asarray(bits).reshape(-1)[0])
    signed = int(node.attributes.get("signed", 1))
    narrow = int(node.attributes.get("narrow", 0))
    mode = str(node.attributes.get("rounding_mode", "ROUND")).upper()
    rounding = {
        "ROUND": np.rint,
        "HALF_EVEN": np.rint,
        "CEIL": np.ceil,
        "FLOOR": np.floor,
        "ROUND_TO_ZERO": np.trunc,
        "DOWN": np.trunc,
    }.get(mode)
    if rounding is None:
        raise refuse(f"{node} rounds by {mode}")
    if not 1 <= width <= 32:
        raise refuse(f"{node} has {width:g} bits")
    if width == 1 and signed:
        # QONNX: one signed bit is -1 or +1, and zero becomes +1.
        return np.where(x >= 0, _float(scale), -_float(scale))
    if signed:
        low, high = -(2.0 ** (width - 1)) + narrow, 2.0 ** (width - 1) - 1
    else:
        low, high = 0.0, 2.0**width - 1 - narrow
    levels = np.clip(_float(x) / _float(scale) + _float(zero), low, high)
    whole: Array = _float(rounding(levels))
    result: Array = (whole - _float(zero)) * _float(scale)
    return result


def _bipolar(_: Node, x: Array, scale: Array) -> Array:
    return np.where(x >= 0, _float(scale), -_float(scale))


def multi_threshold(node: Node, x: Array, thresholds: Array) -> Array:
    """Count the thresholds (..., steps) that each value reaches; scaled as the node says.

    Args:
        node: gives out_scale and out_bias.
        x: (...).
        thresholds: (..., steps), broadcast against x.
    """
    reached = (x[..., None] >= thresholds).sum(axis=-1)
    scale = np.float32(node.attributes.get("out_scale", 1.0))
    bias = np.float32(node.attributes.get("out_bias", 0.0))
    return np.asarray(_float(reached) * scale + bias)


def _multi_threshold(node: Node, x: Array, thresholds: Array) -> Array:
    layout = str(node.attributes.get("data_layout", "NCHW"))
    axis = x.ndim - 1 if layout in ("NHWC", "NWC") else 1
    shape = [1] * x.ndim + [thresholds.shape[1]]
    shape[axis] = thresholds.shape[0]
    return multi_threshold(node, x, thresholds.reshape(shape))


def _clip(node: Node, x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    least = node.attributes.get("min") if low is None else low
    most = node.attributes.get("max") if high is None else high
    if least is not None:
        x = np.maximum(x, np.asarray(least, x.dtype))
    if most is not None:
        x = np.minimum(x, np.asarray(most, x.dtype))
    return x


def _hard_sigmoid(node: Node, x: Array) -> Array:
    alpha = np.float32(node.attributes.get("alpha", 0.2))
    beta = np.float32(node.attributes.get("beta", 0.5))
    return np.asarray(np.clip(_float(x) * alpha + beta, 0, 1))


def _sigmoid(_: Node, x: Array) -> Array:
    with np.errstate(over="ignore"):
        return _float(1 / (1 + np.exp(-x.astype(np.float64))))


_TYPES = {
    1: np.float32, 2: np.uint8, 3: np.int8, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_,
    10: np.float32, 11: np.float32,
}  # fmt: skip


def _cast(node: Node, x: Array) -> Array:
    kind = _TYPES.get(int(node.attributes.get("to", 1)))
    if kind is None:
        raise refuse(f"{node} casts to a type of the number {node.attributes.get('to')}")
    return x.astype(kind)


def _divide(_: Node, x: Array, y: Array) -> Array:
    if x.dtype.kind in "iu" and y.dtype.kind in "iu":
        if not np.all(y):
            raise refuse("a division by zero")
        return (x // y).astype(x.dtype)
    return x / y


def _prelu(_: Node, x: Array, slope: Array) -> Array:
    return np.where(x < 0, x * slope, x)


ELEMENTWISE: Mapping[str, Operator] = {
    "Add": lambda _, x, y: x + y,
    "Sub": lambda _, x, y: x - y,
    "Mul": lambda _, x, y: x * y,
    "Div": _divide,
    "Neg": lambda _, x: -x,
    "Abs": lambda _, x: np.abs(x),
    "Sign": lambda node, x: np.where(
        x == 0, np.asarray(node.attributes.get("zero", 0), x.dtype), np.sign(x)
    ),
    "Identity": lambda _, x: x,
    "Dropout": lambda _, x, *rest: x,
    "Cast": _cast,
    "Clip": _clip,
    "Relu": lambda _, x: np.maximum(x, 0),
    "LeakyRelu": lambda node, x: np.where(
        x < 0, x * np.float32(node.attributes.get("alpha", 0.01)), x
    ),
    "PRelu": _prelu,
    "HardSigmoid": _hard_sigmoid,
    "Sigmoid": _sigmoid,
    "Tanh": lambda _, x: _float(np.tanh(x.astype(np.float64))),
    "Floor": lambda _, x: np.floor(x),
    "Ceil": lambda _, x: np.ceil(x),
    "Round": lambda _, x: np.rint(x),
    "Sqrt": lambda _, x: np.sqrt(x),
    "Pow": lambda _, x, y: np.power(x, y),
    "Min": lambda _, *xs: _reduce(np.minimum, xs),
    "Max": lambda _, *xs: _reduce(np.maximum, xs),
    "Greater": lambda _, x, y: x > y,
    "GreaterOrEqual": lambda _, x, y: x >= y,
    "Less": lambda _, x, y: x < y,
    "LessOrEqual": lambda _, x, y: x <= y,
    "Equal": lambda _, x, y: x == y,
    "Not": lambda _, x: ~x,
    "And": lambda _, x, y: x & y,
    "Or": lambda _, x, y: x | y,
    "Where": lambda _, c, x, y: np.asarray(np.where(c, x, y)),
    "BipolarQuant": _bipolar,
    "Quant": _quant,
}
"""Operators that compute each element by itself; constants are broadcast."""

PER_CHANNEL: Mapping[str, Operator] = {
    "BatchNormalization": _batch_norm,
    "MultiThreshold": _multi_threshold,
}
"""The same, with constants that belong to an axis."""


def _reduce(function: Any, arrays: Sequence[Array]) -> Array:
    result = arrays[0]
    for array in arrays[1:]:
        result = function(result, array)
    return result


def _reshape(node: Node, x: Array, shape: Array | None = None) -> Array:
    wanted = [int(n) for n in (node.attributes["shape"] if shape is None else shape.reshape(-1))]
    if not node.attributes.get("allowzero", 0):
        wanted = [x.shape[i] if n == 0 and i < x.ndim else n for i, n in enumerate(wanted)]
    return x.reshape(wanted)


def _axes(node: Node, axes: Array | None) -> tuple[int, ...] | None:
    given = node.attributes.get("axes") if axes is None else axes.reshape(-1)
    return None if given is None else tuple(int(axis) for axis in given)


def _squeeze(node: Node, x: Array, axes: Array | None = None) -> Array:
    return np.squeeze(x, axis=_axes(node, axes))


def _unsqueeze(node: Node, x: Array, axes: Array | None = None) -> Array:
    return np.expand_dims(x, _axes(node, axes) or ())


def _flatten(node: Node, x: Array) -> Array:
    axis = int(node.attributes.get("axis", 1)) % (x.ndim + 1)
    return x.reshape(math.prod(x.shape[:axis]), -1)


def _transpose(node: Node, x: Array) -> Array:
    order = node.attributes.get("perm")
    return np.transpose(x, None if order is None else [int(axis) for axis in order])


def _slice(node: Node, x: Array, *given: Array | None) -> Array:
    if given:
        rest = [None if g is None else g.reshape(-1) for g in given]
        starts, ends, axes, steps = [*rest, None, None][:4]
    else:
        starts, ends, axes = (node.attributes.get(n) for n in ("starts", "ends", "axes"))
        steps = None
    if starts is None or ends is None:
        raise refuse(f"{node} has no bounds")
    cut = [slice(None)] * x.ndim
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        axis = i if axes is None else int(axes[i])
        step = 1 if steps is None else int(steps[i])
        stop: int | None = int(end)
        if step < 0 and stop is not None and stop < -x.shape[axis]:
            stop = None
        cut[axis] = slice(int(start), stop, step)
    return x[tuple(cut)]


MOVES: Mapping[str, Operator] = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Slice": _slice,
    "Gather": lambda node, x, i: np.take(x, i, axis=int(node.attributes.get("axis", 0))),
}
"""Operators that move elements and change none: they run on index arrays too."""


def _constant_of_shape(node: Node, shape: Array) -> Array:
    sides = tuple(int(n) for n in shape.reshape(-1))
    checked_size(sides, str(node), MAX_MADE)
    value = node.attributes.get("value")
    return np.full(sides, np.float32(0) if value is None else np.asarray(value).reshape(-1)[0])


def _expand(node: Node, x: Array, shape: Array) -> Array:
    sides = np.broadcast_shapes(x.shape, tuple(int(n) for n in shape.reshape(-1)))
    checked_size(sides, str(node), MAX_MADE)
    return np.broadcast_to(x, sides).copy()


def _reduced(function: Any, node: Node, x: Array, axes: Array | None) -> Array:
    kept = bool(node.attributes.get("keepdims", 1))
    return np.asarray(function(x, axis=_axes(node, axes), keepdims=kept))


FOLDED: Mapping[str, Operator] = {
    "Concat": lambda node, *xs: np.concatenate(xs, axis=int(node.attributes.get("axis", 0))),
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "ReduceMean": lambda node, x, axes=None: _reduced(np.mean, node, x, axes),
    "ReduceSum": lambda node, x, axes=None: _reduced(np.sum, node, x, axes),
    "ReduceProd": lambda node, x, axes=None: _reduced(np.prod, node, x, axes),
    "ReduceMax": lambda node, x, axes=None: _reduced(np.max, node, x, axes),
    "ReduceMin": lambda node, x, axes=None: _reduced(np.min, node, x, axes),
}
"""Operators that only constants go through."""


def pool_window(node: Node, shape: tuple[int, ...]) -> tuple[list[int], list[int], list[int]]:
    """Sizes, strides and pads (all begins, then all ends) of a pooling or convolution.

    Args:
        node: has kernel_shape, or pools everything.
        shape: (1, channels, ...) of what it reads.
    """
    spatial = list(shape[2:])
    if node.op.startswith("Global"):
        return spatial, [1] * len(spatial), [0] * 2 * len(spatial)
    given = node.attributes
    kernel = [int(n) for n in given["kernel_shape"]]
    if len(kernel) != len(spatial):
        raise refuse(f"{node} has a kernel of {len(kernel)} sides over {len(spatial)}")
    strides = [int(n) for n in given.get("strides", [1] * len(kernel))]
    if any(int(n) != 1 for n in given.get("dilations", [])):
        raise refuse(f"{node} is dilated")
    if min([*kernel, *strides]) < 1 or len(strides) != len(kernel):
        raise refuse(f"{node} has kernel {kernel} and strides {strides}")
    auto = given.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        starts, ends = [], []
        for size, side, stride in zip(spatial, kernel, strides, strict=True):
            need = max(0, (-(-size // stride) - 1) * stride + side - size)
            small, large = need // 2, need - need // 2
            starts.append(small if auto == "SAME_UPPER" else large)
            ends.append(large if auto == "SAME_UPPER" else small)
        return kernel, strides, starts + ends
    pads = [int(n) for n in given.get("pads", [0] * 2 * len(kernel))]
    if auto == "VALID":
        pads = [0] * 2 * len(kernel)
    if len(pads) != 2 * len(kernel) or min(pads) < 0:
        raise refuse(f"{node} has pads {pads}")
    return kernel, strides, pads


def pool(node: Node, x: Array) -> Array:
    """Max or average pooling without padding, float32 (n, channels, ...)."""
    kernel, strides, pads = pool_window(node, x.shape)
    if any(pads):
        raise refuse(f"{node} pads what it pools")
    if node.attributes.get("ceil_mode", 0):
        sizes = zip(x.shape[2:], kernel, strides, strict=True)
        if any((size - side) % stride for size, side, stride in sizes):
            raise refuse(f"{node} rounds its size up (ceil_mode)")
    windows = windows_of(x, kernel, strides)
    axes = tuple(range(-len(kernel), 0))
    if "Max" in node.op:
        return np.asarray(windows.max(axis=axes))
    total = windows.astype(np.float64).sum(axis=axes)
    return _float(total / math.prod(kernel))


def windows_of(x: Array, kernel: Sequence[int], strides: Sequence[int]) -> Array:
    """A view (n, channels, out..., kernel...) of the windows of x (n, channels, ...)."""
    if any(size < side for size, side in zip(x.shape[2:], kernel, strict=True)):
        raise refuse(f"a kernel of {list(kernel)} over a map of {list(x.shape[2:])}")
    view = sliding_window_view(x, tuple(kernel), axis=tuple(range(2, x.ndim)))
    steps = (slice(None), slice(None), *(slice(None, None, s) for s in strides))
    return view[steps]


def run(node: Node, inputs: Sequence[Array | None]) -> Array:
    """One operator on arrays, except linear ones.

    Raises:
        ConfigError: the operator is unknown, or does not fit its inputs.
    """
    table = {**ELEMENTWISE, **PER_CHANNEL, **MOVES, **FOLDED}
    function: Operator | None = pool if node.op in POOLS else table.get(node.op)
    if function is None:
        raise refuse(f"{node}: this operator is not supported")
    while inputs and inputs[-1] is None:
        inputs = inputs[:-1]
    given = [array for array in inputs if array is not None]
    if node.op in ELEMENTWISE and given:
        try:
            shape = np.broadcast_shapes(*(array.shape for array in given))
        except ValueError:
            raise refuse(f"{node}: shapes {[a.shape for a in given]} do not fit") from None
        checked_size(shape, str(node), max(MAX_MADE, *(array.size for array in given)))
    if node.op == "Gather" and len(given) == 2:
        axis = int(node.attributes.get("axis", 0))
        side = given[0].shape[axis] if -given[0].ndim <= axis < given[0].ndim else 1
        checked_size((given[0].size // max(1, side), given[1].size), str(node), MAX_MADE)
    if node.op == "Concat":
        checked_size((sum(array.size for array in given),), str(node), MAX_MADE)
    try:
        with np.errstate(all="ignore"):
            result = np.asarray(function(node, *inputs))
    except (ValueError, IndexError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise refuse(f"{node}: {error}") from None
    return result.astype(np.float32) if result.dtype == np.float64 else result
