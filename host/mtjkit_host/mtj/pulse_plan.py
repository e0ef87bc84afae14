"""A pulse plan: how long the pulse is for each layer's feature map and for each direction.

A plan is a small TOML file. It names the model that it was made for by the SHA-256 of the model's
file, the kind of errors, the scheme and the cell, and has for each hidden layer the pulse widths
(down, up) and the fail limits that follow from them; for the weights of each layer too, if they
are not written with the conventional pulse. `read_plan` reads it, `to_toml` writes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from mtjkit_core.errors import ConfigError
from mtjkit_core.write_errors import CERTAIN, MAX_LAYERS, fail_limit
from mtjkit_export.files import file_sha256

from mtjkit_host.mtj.cell import Cell
from mtjkit_host.mtj.cell_file import cell_from_table
from mtjkit_host.mtj.scheme import Pulses, Scheme, Traffic
from mtjkit_host.mtj.schemes import parse_scheme
from mtjkit_host.settings import parse_table, read_text

_VERSION = 3
"""Of the file. Version 1 had no weights, version 2 did not say what cells hold before an image."""
CELLS_BEFORE = ("erased", "random")
"""What cells of feature maps hold before an image: 0 everywhere, or random bits."""


@dataclass(frozen=True)
class LayerPulses:
    """One layer's feature map, or its weights."""

    pulses: Pulses
    """Pulse widths (down, up), ns."""
    limits: tuple[int, int]
    """Fail limits (down, up): see mtjkit_core.write_errors."""
    traffic: Traffic | None = None
    """What the layer writes without errors; None where the file does not say."""


@dataclass(frozen=True)
class PulsePlan:
    """A pulse for each hidden layer's feature map and each direction."""

    model: str
    """Name of the model, for people."""
    sha256: str
    """SHA-256 of the model's file, in hexadecimal."""
    errors: str
    """flip or keep."""
    cell: Cell
    """The MTJ cell."""
    scheme: str
    """The write scheme, as `parse_scheme` takes it."""
    layers: tuple[LayerPulses, ...]
    """Of each hidden layer."""
    found: dict[str, Any]
    """What was measured when the plan was made; nothing computes with it."""
    weights: tuple[LayerPulses, ...] = ()
    """Of each layer's weights; empty where they are written without errors."""
    trained_sha256: str = ""
    """SHA-256 of the file of the net from whose error-free accuracy the loss counts: the net before
    calibration. Empty in files of version 1."""
    cells_before: str = "erased"
    """What cells of feature maps hold before an image: of CELLS_BEFORE."""

    @property
    def limits(self) -> tuple[tuple[int, int], ...]:
        """Fail limits (down, up) of each hidden layer."""
        return tuple(layer.limits for layer in self.layers)

    @property
    def weight_limits(self) -> tuple[tuple[int, int], ...] | None:
        """Fail limits (down, up) of each layer's weights; None where they are written as usual."""
        return tuple(layer.limits for layer in self.weights) or None

    def check_model(self, path: Path) -> None:
        """Raise ConfigError unless this is the model that the plan was made for."""
        if file_sha256(path) != self.sha256:
            raise ConfigError(
                f"the plan was made for another model, {self.model!r}: {path} has another SHA-256"
            )

    def to_toml(self) -> str:
        """The plan's file."""
        cell = {key: value for key, value in self.cell.to_json().items() if value is not None}
        table = {
            "version": _VERSION,
            "model": self.model,
            "sha256": self.sha256,
            "errors": self.errors,
            "scheme": self.scheme,
            "cells_before": self.cells_before,
            "found": self.found,
            "cell": cell,
            "map": _tables(self.layers),
        }
        if self.weights:
            table["weights"] = _tables(self.weights)
        if self.trained_sha256:
            table["trained_sha256"] = self.trained_sha256
        return "# Pulse widths by layer. A fail limit is round(rate * 2**32).\n" + tomli_w.dumps(
            table
        )


def _tables(layers: tuple[LayerPulses, ...]) -> list[dict[str, Any]]:
    return [
        {
            "layer": number,
            "pulse_ns": {"down": layer.pulses.down_ns, "up": layer.pulses.up_ns},
            "fail_limit": {"down": layer.limits[0], "up": layer.limits[1]},
            **_shares(layer.traffic),
        }
        for number, layer in enumerate(layers)
    ]


def _shares(traffic: Traffic | None) -> dict[str, Any]:
    if traffic is None:
        return {}
    return {"traffic": {"ones": traffic.ones, "down": traffic.down, "up": traffic.up}}


def layer_pulses(cell: Cell, scheme: Scheme, rate: float, traffic: Traffic) -> LayerPulses:
    """The pulses that leave a mean error rate.

    Raises:
        ConfigError: no pulse does.
    """
    return _layer_pulses(cell, scheme, scheme.pulses_for(cell, rate, traffic), traffic)


def layer_pulses_by_direction(
    cell: Cell, scheme: Scheme, rates: tuple[float, float], traffic: Traffic
) -> LayerPulses:
    """The pulses of a scheme of fixed pulses that leave an error rate (down, up).

    Raises:
        ConfigError: no pulse does.
    """
    ways = zip((cell.down, cell.up), rates, strict=True)
    pulses = Pulses(*(way.switching.pulse_width_ns(rate) for way, rate in ways))
    return _layer_pulses(cell, scheme, pulses, traffic)


def _layer_pulses(cell: Cell, scheme: Scheme, pulses: Pulses, traffic: Traffic) -> LayerPulses:
    down, up = scheme.rates(cell, pulses, traffic)
    return LayerPulses(pulses, (fail_limit(down), fail_limit(up)), traffic)


def read_plan(path: str | Path) -> PulsePlan:
    """Read a plan's file.

    Raises:
        ConfigError: it cannot be read, or is not a plan.
    """
    return parse_plan(read_text(Path(path), str(path)), str(path))


def parse_plan(text: str, path: str) -> PulsePlan:
    """The plan that a text says; `path` is what messages call it.

    Raises:
        ConfigError: it is not a plan.
    """
    table = parse_table(text, path)
    if table.get("version") not in range(1, _VERSION + 1):
        raise ConfigError(
            f"{path} is not a pulse plan of version 1 to {_VERSION}: `plan` makes one"
        )
    try:
        layers, weights = _layers(table["map"]), _layers(table.get("weights", []))
        texts = [table[name] for name in ("model", "sha256", "errors", "scheme")]
        trained = table.get("trained_sha256", "")
        before = table.get("cells_before", "erased")
        if not all(isinstance(text, str) for text in (*texts, trained)):
            raise ValueError("a text is not a text")
        if not 1 <= len(layers) < MAX_LAYERS or len(weights) not in (0, len(layers) + 1):
            raise ValueError("layers are missing")
        if texts[2] not in ("flip", "keep"):
            raise ValueError("errors are flip or keep")
        if before not in CELLS_BEFORE:
            raise ValueError(f"cells before an image are {' or '.join(CELLS_BEFORE)}")
        parse_scheme(texts[3])
        cell = cell_from_table(table["cell"], path, "plan")
        found = table.get("found", {})
        if not isinstance(found, dict):
            raise ValueError("found is not a table")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{path} is damaged: {error}") from None
    return PulsePlan(
        texts[0], texts[1], texts[2], cell, texts[3], layers, found, weights, trained, before
    )


def _layers(entries: Any) -> tuple[LayerPulses, ...]:
    layers = tuple(
        LayerPulses(
            Pulses(float(entry["pulse_ns"]["down"]), float(entry["pulse_ns"]["up"])),
            (_limit(entry["fail_limit"]["down"]), _limit(entry["fail_limit"]["up"])),
            _traffic(entry.get("traffic")),
        )
        for entry in entries
    )
    if [entry["layer"] for entry in entries] != list(range(len(layers))):
        raise ValueError("the layers are not 0, 1, 2, ...")
    if not all(0 < width < 1e12 for layer in layers for width in layer.pulses):
        raise ValueError("a pulse width is out of range")
    return layers


def _traffic(entry: Any) -> Traffic | None:
    if entry is None:
        return None
    down, up, ones = (float(entry[name]) for name in ("down", "up", "ones"))
    if not all(0 <= share <= 1 for share in (down, up, ones)):
        raise ValueError("a share of the written bits lies between 0 and 1")
    try:
        return Traffic(down, up, ones)
    except ConfigError as error:
        raise ValueError(str(error)) from None


def _limit(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= CERTAIN:
        raise ValueError("a fail limit is a whole number from 0 to 2**32")
    return value
