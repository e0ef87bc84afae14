"""The networks that are trained, as plain data: the paper's presets and shapes of one's own.

Source of the presets: Asano, Natsui, Hanyu, "Error-Tolerance-Aware Write-Energy Reduction of
MTJ-Based Quantized Neural Network Hardware", IEICE Trans. Inf. & Syst., 2024, Fig. 3 and Table 1.
All are VGG-shaped after Hubara et al. 2016: 3x3 convolutions with padding 1 and without bias, 2x2
max pooling after every second one, then three dense layers.

A shape of one's own is a text, ``conv:32,32p,64k5,64p/dense:128``: docs/networks.md has the
grammar.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.geometry import LayerShape
from mtjkit_core.mtjb import chain, conv_entry, dense_entry

from mtjkit_host import paper
from mtjkit_host.datasets import cifar10
from mtjkit_host.parse import shown

NETS: dict[str, tuple[int, int]] = {
    "binary": (1, 1),
    "binary_x3": (1, 3),
    "fxp8": (8, 1),
    "fxp16": (16, 1),
    "fxp32": (32, 1),
}
"""Net -> (bits of weights and activations, factor on the convolutions' filters)."""

BITS = {net: bits for net, (bits, factor) in NETS.items() if factor == 1}
"""Number format of a shape of one's own -> its bits."""

MAX_SIZE = 1 << 16
"""Most filters or units of a layer."""

MAX_SIDE = 255
"""Most rows or columns of a kernel, a stride or a pool."""

WIDTHS: dict[str, int] = {"paper": 1, "half": 2, "small": 4, "tiny": 16}
"""Width -> what the filters and the dense units of the paper's size are divided by."""

Pair = tuple[int, int]

_NUMBER = r"[1-9]\d{0,5}"
_SIDES = rf"({_NUMBER})(?:x({_NUMBER}))?"
_CONV = re.compile(rf"(d|{_NUMBER})(?:k{_SIDES})?(?:s{_SIDES})?(?:(p)(?:{_SIDES})?)?")


@dataclass(frozen=True)
class Conv:
    """One convolution, padded by (kernel - 1) // 2 on every side, and the max pooling after it."""

    filters: int | None
    """Outputs; None for a depthwise convolution, which has as many as inputs."""
    kernel: Pair = (3, 3)
    """Height, width."""
    stride: Pair = (1, 1)
    """Vertical, horizontal."""
    pool: Pair = (1, 1)
    """Height, width of the pooling's window, which is its stride too; 1, 1 for none."""

    @property
    def padding(self) -> Pair:
        """Rows above and below, columns left and right: an odd kernel keeps the map's size."""
        return (self.kernel[0] - 1) // 2, (self.kernel[1] - 1) // 2

    @property
    def text(self) -> str:
        """The convolution as it is written in a shape."""
        kernel = "" if self.kernel == (3, 3) else f"k{_sides(self.kernel)}"
        stride = "" if self.stride == (1, 1) else f"s{_sides(self.stride)}"
        pool = {(1, 1): "", (2, 2): "p"}.get(self.pool, f"p{_sides(self.pool)}")
        return f"{self.filters or 'd'}{kernel}{stride}{pool}"

    @classmethod
    def parse(cls, text: str) -> Conv:
        """Read what `text` gives; raises ConfigError."""
        match = _CONV.fullmatch(text)
        if match is None:
            raise ConfigError(
                f"{shown(text)} is not a convolution: expected FILTERS (or d, depthwise), then "
                "kKERNEL, sSTRIDE, p or pPOOL where wanted, such as 32, 32p or 64k5x1s2p2x1"
            )
        filters, *sides = match.groups()
        pool = _pair(*sides[5:]) if sides[5] else (2, 2) if sides[4] else (1, 1)
        return cls(
            None if filters == "d" else int(filters),
            _pair(*sides[0:2]) if sides[0] else (3, 3),
            _pair(*sides[2:4]) if sides[2] else (1, 1),
            pool,
        )


@dataclass(frozen=True)
class NetSpec:
    """One network: everything its layers' shapes and number format follow from."""

    name: str
    """What messages, checkpoints and model files call it: for presets ``<net>-<width>``."""
    bits: int
    """Of weights and activations: 1 is {-1, +1}; 8, 16 and 32 are fixed point in [-1, 1)."""
    conv: tuple[Conv, ...]
    """The convolutions."""
    dense: tuple[int, ...]
    """Units of the hidden dense layers."""
    classes: int = paper.CLASSES
    """Scores of the last dense layer."""
    input_shape: tuple[int, int, int] = (32, 32, 3)
    """(height, width, channels) of the input; (1, 1, features) of a vector."""
    class_names: tuple[str, ...] = ()
    """One for each score; empty for none."""
    takes_int8: bool = False
    """Whether the data are int8, taken as they are; else the input of a pixel is pixel - 128."""

    def __post_init__(self) -> None:
        """Check the shape; raises ConfigError."""
        if self.bits not in (1, 8, 16, 32):
            raise ConfigError(f"{self.name}: bits must be 1, 8, 16 or 32, not {self.bits}")
        filters = (1 if conv.filters is None else conv.filters for conv in self.conv)
        sizes = (*filters, *self.dense, self.classes, *self.input_shape)
        whole = len(sizes) > 4 and all(type(n) is int and 1 <= n <= MAX_SIZE for n in sizes)
        if not whole or len(self.input_shape) != 3:
            raise ConfigError(
                f"{self.name}: needs a hidden layer, and filters, units, sides and channels from 1 "
                f"to {MAX_SIZE}"
            )
        sides = [side for c in self.conv for side in (*c.kernel, *c.stride, *c.pool)]
        if max(sides, default=1) > MAX_SIDE:
            raise ConfigError(
                f"{self.name}: kernels, strides and pools have sides from 1 to {MAX_SIDE}"
            )
        if len(self.class_names) not in (0, self.classes):
            raise ConfigError(
                f"{self.name}: {len(self.class_names)} class names for {self.classes} classes"
            )
        if self.bits > 1:
            self._check_fixed()
        self.geometry()

    def _check_fixed(self) -> None:
        height, width, _ = self.input_shape
        plain = all(
            conv.filters is not None
            and (conv.kernel, conv.stride) == ((3, 3), (1, 1))
            and conv.pool in ((1, 1), (2, 2))
            for conv in self.conv
        )
        if not plain or height != width or not (self.conv or height == 1):
            raise ConfigError(
                f"{self.name}: a fixed-point net has 3x3 convolutions of stride 1 with 2x2 pooling "
                "or none, on square images, or dense layers alone, on vectors"
            )

    def geometry(self) -> list[LayerShape]:
        """Shapes of all layers, hidden ones and the last.

        Raises:
            ConfigError: a layer does not fit the map before it, or a model file's limits.
        """
        entries: list[Any] = []
        channels = self.input_shape[2]
        for conv in self.conv:
            groups = channels if conv.filters is None else 1
            channels = channels if conv.filters is None else conv.filters
            pool = (0, 0) if conv.pool == (1, 1) else conv.pool
            entries.append(
                conv_entry(
                    len(entries), channels, conv.kernel, conv.stride, (*conv.padding,) * 2,
                    pool=pool, pool_stride=pool, groups=groups,
                )
            )  # fmt: skip
        for units in self.dense:
            entries.append(dense_entry(len(entries), units))
        entries.append(dense_entry(len(entries), self.classes, True))
        try:
            layers: list[LayerShape] = chain(self.input_shape, entries)
        except FormatError as error:
            raise ConfigError(f"{self.name}: {error}") from None
        return layers

    @property
    def binary(self) -> bool:
        """Whether weights and activations are {-1, +1}."""
        return self.bits == 1

    @property
    def weights(self) -> int:
        """Weights of all layers."""
        return sum(layer.fan_in * layer.out_channels for layer in self.geometry())

    @property
    def shape(self) -> str:
        """The hidden layers as a text, which `parse_shape` reads."""
        parts = {"conv": [conv.text for conv in self.conv], "dense": list(map(str, self.dense))}
        return "/".join(f"{kind}:{','.join(items)}" for kind, items in parts.items() if items)

    @classmethod
    def vgg(
        cls, name: str, bits: int, filters: Sequence[int], dense: Sequence[int], **rest: Any
    ) -> NetSpec:
        """Return a net of the paper's kind: 3x3 filters, 2x2 pooling after every second layer."""
        return cls(name, bits, _vgg(filters), tuple(dense), **rest)

    @classmethod
    def named(cls, name: str) -> NetSpec:
        """Return the preset called ``<net>-<width>``, such as ``binary-small``, for CIFAR-10.

        Raises:
            ConfigError: there is no preset of this name; the message lists them.
        """
        return cls(*_preset(name), class_names=cifar10.CLASSES)

    def to_json(self) -> dict[str, Any]:
        """The net as JSON values, which `from_json` reads."""
        return {
            "name": self.name,
            "bits": self.bits,
            "layers": self.shape,
            "classes": self.classes,
            "input_shape": list(self.input_shape),
            "class_names": list(self.class_names),
            "takes_int8": self.takes_int8,
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> NetSpec:
        """Read what `to_json` gave, or what it gave before there were shapes of one's own.

        These have ``conv``, the filters of a net of the paper's kind, ``dense``, ``side`` and
        ``channels`` instead of ``layers`` and ``input_shape``, and CIFAR-10's classes.

        Raises:
            ConfigError: the fields are something else.
        """
        try:
            values: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()
            }
            name, bits = values.pop("name"), values.pop("bits")
            if "layers" in values:
                conv, dense = parse_shape(values.pop("layers"))
                return cls(name, bits, conv, dense, **values)
            side, channels = values.pop("side", 32), values.pop("channels", 3)
            values["input_shape"] = (side, side, channels)
            if values.get("classes", paper.CLASSES) == paper.CLASSES:
                values["class_names"] = cifar10.CLASSES
            return cls.vgg(name, bits, values.pop("conv"), values.pop("dense"), **values)
        except (TypeError, AttributeError, KeyError, ConfigError) as error:
            why = shown(str(error), 100)
            raise ConfigError(f"this does not describe a net we know: {why}") from error


Layers = tuple[str, int, tuple[Conv, ...], tuple[int, ...]]
"""Name, bits, convolutions and dense units: the first fields of a `NetSpec`."""


def parse_net(text: str) -> Layers:
    """Read a net as it is typed: a preset's name, or a shape, which is binary unless it begins so.

    ``fxp8/conv:16,16p/dense:64`` has 8 bits. The name of a shape's net is made of its text.

    Raises:
        ConfigError: the text is something else; the message is one line.
    """
    if ":" not in text:
        return _preset(text)
    kind, _, shape = text.partition("/")
    if ":" in kind:
        kind, shape = "binary", text
    if kind not in BITS:
        raise ConfigError(
            f"--net {shown(text)}: a shape begins with conv:, dense: or one of "
            f"{', '.join(f'{name}/' for name in BITS)}"
        )
    try:
        conv, dense = parse_shape(shape)
    except ConfigError as error:
        raise ConfigError(f"--net {shown(text)}: {error}") from None
    return re.sub(r"\W+", "-", text)[:32].strip("-"), BITS[kind], conv, dense


def _preset(name: str) -> Layers:
    net, _, width = name.partition("-")
    if net not in NETS or width not in WIDTHS:
        raise ConfigError(
            f"unknown net {shown(name)}: write <net>-<width> with a net of {', '.join(NETS)} and a "
            f"width of {', '.join(WIDTHS)}, or a shape such as conv:32,32p/dense:128"
        )
    bits, factor = NETS[net]
    divisor = WIDTHS[width]
    conv = _vgg([filters * factor // divisor for filters in paper.CONV])
    return name, bits, conv, tuple(units // divisor for units in paper.DENSE)


def _vgg(filters: Sequence[int]) -> tuple[Conv, ...]:
    pools = ((1, 1), (2, 2))
    return tuple(Conv(count, pool=pools[index % 2]) for index, count in enumerate(filters))


def parse_shape(text: str) -> tuple[tuple[Conv, ...], tuple[int, ...]]:
    """Read ``conv:ITEM,.../dense:UNITS,...``, of which either part may be missing.

    Returns the convolutions and the units of the dense layers; raises ConfigError.
    """
    conv: tuple[Conv, ...] = ()
    dense: tuple[int, ...] = ()
    for part in text.split("/"):
        kind, _, items = part.partition(":")
        if kind == "conv" and not conv and not dense:
            conv = tuple(Conv.parse(item) for item in items.split(","))
        elif kind == "dense" and not dense:
            dense = tuple(_units(item) for item in items.split(","))
        else:
            raise ConfigError(
                f"{shown(part)}: expected conv:FILTERS,... and then dense:UNITS,..., or one of them"
            )
    return conv, dense


def _units(text: str) -> int:
    if not re.fullmatch(_NUMBER, text):
        raise ConfigError(f"{shown(text)} is not a number of units of a dense layer")
    return int(text)


def _pair(first: str, second: str | None) -> Pair:
    return int(first), int(second or first)


def _sides(pair: Pair) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"
