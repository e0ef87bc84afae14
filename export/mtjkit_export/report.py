"""What a model costs: size by layer, RAM on the device, MACs, bits written for each image."""

from __future__ import annotations

from dataclasses import dataclass

from mtjkit_core.footprint import ram_bytes
from mtjkit_core.model import CONV, Layer, Model


@dataclass(frozen=True)
class LayerCost:
    """One layer in numbers."""

    name: str
    """conv or dense, with padding and pooling."""
    output: str
    """Stored output, height x width x channels; the last layer's scores."""
    weight_bits: int
    """Weights, one bit each, without padding."""
    file_bytes: int
    """Bytes of weights, thresholds and inversion mask in the model file."""
    macs: int
    """Multiply-accumulates of one image."""
    written_bits: int
    """Feature-map bits written for one image, without padding."""


@dataclass(frozen=True)
class Cost:
    """A model in numbers."""

    layers: tuple[LayerCost, ...]
    """One for each layer."""
    file_bytes: int
    """Size of the model file; the RAM that it takes unless the device maps it from flash."""
    ram_bytes: int
    """RAM that inference takes beside the model: buffer memory, one layer's output, tables."""
    weight_bits: int
    macs: int
    written_bits: int


def cost(model: Model, kernel: str = "viper") -> Cost:
    """Count what a model costs, on a device that runs `kernel`."""
    layers = tuple(_layer_cost(layer) for layer in model.layers)
    return Cost(
        layers=layers,
        file_bytes=len(model.data),
        ram_bytes=ram_bytes(model, kernel),
        weight_bits=model.weight_bits,
        macs=model.macs,
        written_bits=model.map_bits,
    )


def summary(model: Model, kernel: str = "viper") -> str:
    """The same as a plain text table, with what it means for a device's memory."""
    total = cost(model, kernel)
    rows: list[tuple[str, ...]] = [
        ("layer", "", "output", "weight bits", "bytes", "MACs", "bits written")
    ]
    for number, one in enumerate(total.layers):
        counts = (one.weight_bits, one.file_bytes, one.macs, one.written_bits)
        rows.append((str(number), one.name, one.output, *(f"{n:,}" for n in counts)))
    data = sum(one.file_bytes for one in total.layers)
    counts = (total.weight_bits, data, total.macs, total.written_bits)
    rows.append(("all", "", "", *(f"{n:,}" for n in counts)))
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [f"{model.name}: {_input(model)}, {model.classes} classes"]
    for row in rows:
        words = [cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
        lines.append("  ".join(words + numbers))
    both = total.file_bytes + total.ram_bytes
    lines += [
        f"file                {total.file_bytes:>9,} bytes",
        f"RAM, model mapped   {total.ram_bytes:>9,} bytes (kernel {kernel}, without its code)",
        f"RAM, model in RAM   {both:>9,} bytes",
    ]
    return "\n".join(lines)


def _layer_cost(layer: Layer) -> LayerCost:
    name = "conv 3x3" if layer.kind == CONV else "dense"
    if layer.padding:
        name += ", padded"
    if layer.pool:
        name += ", pooled"
    height, width, channels = layer.map_shape
    return LayerCost(
        name=name,
        output=f"{channels} scores" if layer.last else f"{height} x {width} x {channels}",
        weight_bits=layer.weight_bits,
        file_bytes=layer.data_bytes,
        macs=layer.macs,
        written_bits=layer.map_bits,
    )


def _input(model: Model) -> str:
    return " x ".join(map(str, model.input_shape)) + " int8"
