"""What a model costs: size by layer, RAM on the device, MACs, bits written for each image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from struct import unpack_from
from textwrap import wrap

from mtjkit_core.footprint import MAX_IMAGES, ram_bytes
from mtjkit_core.geometry import AVERAGES, CONV, INT8, SIGNED, SUMS, LayerShape
from mtjkit_core.model import Model

from mtjkit_export.heap import Processor, heap_in_use, heap_needed

COLUMNS = 80
"""Columns of a terminal, into which tables fit."""

MIN_NAME = 16
"""Columns that a table's first column has at least."""


@dataclass(frozen=True)
class LayerCost:
    """One layer in numbers."""

    name: str
    """conv or dense, with padding and pooling."""
    output: str
    """Stored output, as height x width x channels; the last layer's scores."""
    weight_bits: int
    """Bits of the weights, one or eight each, without padding."""
    file_bytes: int
    """Bytes of weights, thresholds and masks in the model file."""
    macs: int
    """Multiply-accumulates of one image."""
    written_bits: int
    """Feature-map bits written for one image, without padding."""
    dead: int
    """Channels whose bit never changes: no sum is on the other side of their threshold."""


@dataclass(frozen=True)
class Cost:
    """A model in numbers."""

    layers: tuple[LayerCost, ...]
    """One for each layer."""
    file_bytes: int
    """Size of the model file; the RAM that it takes unless the device maps it from flash."""
    ram_bytes: int
    """RAM that inference takes beside model and code: buffers, one layer's output, tables."""
    weight_bits: int
    """Bits of all weights, without padding."""
    macs: int
    """Multiply-accumulates of one image."""
    written_bits: int
    """Feature-map bits written for one image, without padding."""


def cost(model: Model, kernel: str = "viper") -> Cost:
    """Count what a model costs, on a device that runs `kernel`."""
    layers = tuple(_layer_cost(model, layer) for layer in model.layers)
    return Cost(
        layers=layers,
        file_bytes=len(model.data),
        ram_bytes=ram_bytes(model, kernel),
        weight_bits=model.weight_bits,
        macs=model.macs,
        written_bits=model.map_bits,
    )


def summary(model: Model, processors: Iterable[Processor] = ()) -> str:
    """The same as a plain text table, and the heap that the model needs on some processors."""
    total = cost(model)
    rows: list[tuple[str, ...]] = [("layer", "output", "weights", "bytes", "MACs", "written")]
    for number, one in enumerate(total.layers):
        counts = (one.weight_bits, one.file_bytes, one.macs, one.written_bits)
        rows.append((f"{number:<2} {one.name}", one.output, *(f"{n:,}" for n in counts)))
    data = sum(one.file_bytes for one in total.layers)
    counts = (total.weight_bits, data, total.macs, total.written_bits)
    rows.append(("all", "", *(f"{n:,}" for n in counts)))
    lines = [f"{model.name}: {_input(model)}, {model.outcomes} classes", *_aligned(rows, 2)]
    lines.append(f"file {total.file_bytes:,} bytes; weights, and written for an image, in bits")
    for number, one in enumerate(total.layers):
        if one.dead:
            channels = model.layers[number].out_channels
            lines.append(
                f"layer {number}: {one.dead} of {channels} channels are dead: no sum can pass "
                "their threshold"
            )
    return "\n".join([*lines, *_heaps(model, processors)])


def _heaps(model: Model, processors: Iterable[Processor]) -> list[str]:
    """Lines of a table: the heap on each kind of processor, by kernel; none without processors."""
    head = ("heap, in bytes", "kernel", "needed", "peak", "mapped", "peak")
    rows: list[tuple[str, ...]] = [head]
    for processor in processors:
        for kernel in processor.shares:
            if kernel == "python":  # minutes an image
                continue
            numbers = []
            for mapped in (False, True):
                if mapped and not processor.maps:
                    numbers += ["", ""]
                else:
                    needed = heap_needed(model, processor, kernel, mapped)
                    numbers += [f"{needed:,}", f"{heap_in_use(model, processor, kernel, mapped):,}"]
            rows.append((processor.name, kernel, *numbers))
    if len(rows) == 1:
        return []
    return [
        "",
        *_aligned(rows, 2),
        "needed: the smallest heap that does; peak: in use, in a heap with room for",
        f"{MAX_IMAGES} images on their way; both with MicroPython and all code.",
        "mapped: needed where the weights are read in flash.",
    ]


def _aligned(rows: list[tuple[str, ...]], words: int) -> list[str]:
    """Lines of a table whose first columns, `words` of them, are aligned left.

    Where a line would be wider than a terminal, the first column is folded.
    """
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    widths[0] = max(MIN_NAME, min(widths[0], COLUMNS - sum(width + 2 for width in widths[1:])))
    lines = []
    for row in rows:
        first, *more = wrap(row[0], widths[0], subsequent_indent="   ") or [""]
        cells = list(zip((first, *row[1:]), widths, strict=True))
        left = [cell.ljust(width) for cell, width in cells[:words]]
        right = [cell.rjust(width) for cell, width in cells[words:]]
        lines += ["  ".join(left + right).rstrip(), *more]
    return lines


def _dead(model: Model, layer: LayerShape) -> int:
    if layer.output == SUMS:
        return 0
    largest = layer.fan_in * (128 if layer.cells > 1 else 1)
    if layer.index == 0:
        largest *= 128 if layer.reads == INT8 else 1
    elif model.layers[layer.index - 1].output == AVERAGES:
        before = model.layers[layer.index - 1]
        largest *= before.pool_height * before.pool_width
    thresholds = unpack_from(f"<{layer.out_channels}i", model.data, layer.thresholds_at)
    return sum(not -largest < threshold <= largest for threshold in thresholds)


def _layer_cost(model: Model, layer: LayerShape) -> LayerCost:
    name = "dense"
    if layer.kind == CONV:
        name = f"conv {layer.kernel_height}x{layer.kernel_width}"
    if layer.stride_y != 1 or layer.stride_x != 1:
        name += f", stride {layer.stride_y}x{layer.stride_x}"
    if layer.padding:
        name += ", padded"
    if layer.groups > 1:
        name += f", {layer.groups} groups"
    if layer.cells > 1:
        name += ", int8 weights"
    if layer.pool:
        name += ", averaged" if layer.output == AVERAGES else ", pooled"
    if layer.pool < 0 or (layer.pool and layer.output == AVERAGES):
        name += f" {layer.pool_height}x{layer.pool_width}"
    if layer.output == SIGNED:
        name += ", signs"
    height, width, channels = layer.map_shape
    return LayerCost(
        name=name,
        output=f"{channels} scores" if layer.last else f"{height}x{width}x{channels}",
        weight_bits=layer.weight_bits,
        file_bytes=layer.data_bytes,
        macs=layer.macs,
        written_bits=layer.map_bits,
        dead=_dead(model, layer),
    )


def _input(model: Model) -> str:
    values = ("int8", "0 and 1", "-1 and +1")[model.layers[0].reads]
    return " x ".join(map(str, model.input_shape)) + " " + values
