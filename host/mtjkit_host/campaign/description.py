"""Campaigns as data: which nets, memories, rates and repeats; read from a TOML file."""

from __future__ import annotations

import os
from dataclasses import MISSING, dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from mtjkit_core.errors import ConfigError
from mtjkit_core.write_errors import MAX_LAYERS

from mtjkit_host import paper
from mtjkit_host.parse import shown
from mtjkit_host.runs.options import CELLS_BEFORE, KINDS
from mtjkit_host.settings import parse_table, read_text

MEMORIES = ("weights", "feature_maps")
"""Which memory the errors are in: the weight storage or the feature-map buffer. ``weights.2`` and
``feature_maps.2`` are the part of layer 2 alone."""

MAX_POINTS = 1_000_000
"""Most points of a campaign: years of work, and still a list that fits the memory."""

CAMPAIGNS = Path(__file__).parent
"""Folder of the campaigns that come with the project, ``<name>.toml``."""


@dataclass(frozen=True)
class NetEntry:
    """One network of a campaign."""

    label: str
    """What plots and tables call it; unique in the campaign."""
    model: tuple[str, ...]
    """Its file (.mtjb, .safetensors), a trainer's run folder, both relative to the campaign's own
    file, or a name such as ``fxp8-small`` that is looked for in the folders of models; of several
    the first that is found."""
    paper: str = ""
    """The paper's net whose values stand beside its own: Binary, Binary_x3, Fxp8, Fxp16, Fxp32."""
    note: str = ""
    """One line for the report, such as how it was trained."""
    plan: str = ""
    """File of a pulse plan for it: its points are then those of the plan's pulses in the feature
    maps, in place of the campaign's memories, kinds and rates."""


@dataclass(frozen=True)
class Rrmse:
    """How RRMSE (Eq. 3) is measured."""

    images: int = 1000
    """How many test images: see `images` of the campaign; the paper's number."""
    repeats: int = 3
    """Error patterns for each rate."""
    rates: tuple[float, ...] = ()
    """Error rates; empty takes the campaign's."""


@dataclass(frozen=True)
class Campaign:
    """One campaign: every net x memory x kind of error x rate x repeat is a point."""

    name: str
    """Names the results' folder."""
    nets: tuple[NetEntry, ...]
    """In the order of tables and legends."""
    rates: tuple[float, ...]
    """Error rates of each written bit, above 0 and up to 1, ascending."""
    memories: tuple[str, ...] = MEMORIES
    """Of `MEMORIES`, or one layer's part of one; errors are in one of them at a time."""
    errors: tuple[str, ...] = ("flip",)
    """Kinds of errors: names of `mtjkit_host.runs.options.KINDS`."""
    repeats: int = 10
    """Independent error patterns for each rate; the paper's number."""
    images: int = 10000
    """How many test images, drawn evenly over the classes by the seed; of CIFAR's files the first
    ones. The paper's number is all 10,000."""
    seed: int = 0
    """Every point's own seed derives from it, 0 <= seed < 2**64."""
    rrmse: Rrmse | None = None
    """RRMSE points too, or none."""
    chips: str = ""
    """A cell whose [variation] tells cells apart, a preset or a file: each repeat is then a chip of
    its own, whose cells keep their class. Empty: all cells fail at the mean rate."""
    cells_before: str = "erased"
    """What cells of feature maps hold before an image: `mtjkit_host.runs.options.CELLS_BEFORE`."""
    title: str = ""
    """One line for the report."""
    text: str = field(default="", repr=False, compare=False)
    """The description as it was read."""
    folder: Path | None = field(default=None, repr=False, compare=False)
    """Where its file lies: paths in it are relative to this folder."""

    def __post_init__(self) -> None:
        """Check every field; raises ConfigError, naming the first that is wrong."""
        labels = [net.label for net in self.nets]
        rrmse_rates = self.rrmse.rates if self.rrmse else ()
        checks = {
            "name must be a word of letters, digits, - and _": (
                self.name.replace("-", "").replace("_", "").isalnum() and len(self.name) <= 100
            ),
            "title, labels, notes and models are short, without control characters": all(
                text.isprintable() and len(text) <= 300 for text in self._texts
            ),
            "at least one net is needed": bool(self.nets),
            "every net needs a label of its own": len(set(labels)) == len(labels),
            f"a net's paper is one of {', '.join(paper.ACCURACY)}": (
                all(net.paper in ("", *paper.ACCURACY) for net in self.nets)
            ),
            f"memories are of {', '.join(MEMORIES)}, or those of one layer, such as weights.0": (
                _distinct(self.memories) and all(map(_is_memory, self.memories))
            ),
            f"errors are of {', '.join(KINDS)}": (
                _distinct(self.errors) and set(self.errors) <= set(KINDS)
            ),
            f"cells_before is one of {', '.join(CELLS_BEFORE)}": self.cells_before in CELLS_BEFORE,
            "rates must ascend, above 0 and up to 1": _ascending(self.rates) and bool(self.rates),
            "rrmse.rates must ascend, above 0 and up to 1": _ascending(rrmse_rates),
            "repeats and images must be at least 1": min(self.repeats, self.images) >= 1,
            "seed must lie between 0 and 2**64 - 1": 0 <= self.seed < 1 << 64,
            "rrmse.images must be at least 2 and rrmse.repeats at least 1": (
                self.rrmse is None or (self.rrmse.images >= 2 and self.rrmse.repeats >= 1)
            ),
            f"the maximum is {MAX_POINTS:,} points": self._points <= MAX_POINTS,
        }
        for message, good in checks.items():
            if not good:
                name = self.name if self.name.isprintable() else "?"
                raise ConfigError(f"campaign {name[:100] or '?'}: {message}")

    @property
    def _texts(self) -> list[str]:
        nets = [text for net in self.nets for text in (net.label, net.note, net.plan, *net.model)]
        return [self.title, self.chips, *nets]

    @property
    def _points(self) -> int:
        """Points with errors."""
        runs = len(self.rates) * self.repeats * len(self.memories)
        if self.rrmse is not None:
            runs += len(self.rrmse_rates) * self.rrmse.repeats * len(self.whole_memories)
        planned = sum(bool(net.plan) for net in self.nets)
        swept = len(self.nets) - planned
        return swept * len(self.errors) * runs + planned * self.repeats

    @property
    def whole_memories(self) -> tuple[str, ...]:
        """Memories without those of one layer: of them there are RRMSE points."""
        return tuple(memory for memory in self.memories if place_of(memory)[1] is None)

    @property
    def rrmse_rates(self) -> tuple[float, ...]:
        """Rates of the RRMSE points."""
        return () if self.rrmse is None else self.rrmse.rates or self.rates


def place_of(memory: str) -> tuple[str, int | None]:
    """Take apart where a point's errors are.

    Args:
        memory: of `MEMORIES`, with or without a layer, or ``none``.

    Returns:
        The memory, and the only layer of it that has errors; None where all layers have them.
    """
    name, _, layer = memory.partition(".")
    return name, int(layer) if layer else None


def where(memory: str) -> str:
    """Where a point's errors are, in words: ``feature maps``, ``weights of layer 2``."""
    name, layer = place_of(memory)
    words = name.replace("_", " ")
    return words if layer is None else f"{words} of layer {layer}"


def load_campaign(path_or_name: str | Path) -> Campaign:
    """Read a campaign's TOML file, or one that the project carries, by its name.

    Raises:
        ConfigError: there is no such file, or it says something that a campaign does not have.
    """
    path = Path(path_or_name)
    if not path.suffix and not os.path.isfile(path):
        path = CAMPAIGNS / f"{path}.toml"
    if not os.path.exists(path):
        carried = ", ".join(sorted(file.stem for file in CAMPAIGNS.glob("*.toml")))
        raise ConfigError(f"{path_or_name}: no such campaign; name a TOML file or one of {carried}")
    text = read_text(path, str(path))
    values = parse_table(text, str(path))
    nets = values.pop("nets", [])
    if not isinstance(nets, list):
        raise ConfigError(f"{path}: nets are tables, written [[nets]]")
    for net in nets:
        if isinstance(net, dict) and isinstance(net.get("model"), str):
            net["model"] = [net["model"]]
    values["nets"] = tuple(_build(NetEntry, net, f"{path}: [[nets]]") for net in nets)
    if "rrmse" in values:
        values["rrmse"] = _build(Rrmse, values["rrmse"], f"{path}: [rrmse]")
    chips = values.get("chips")
    if isinstance(chips, str) and chips and (path.parent / chips).is_file():
        values["chips"] = str(path.parent / chips)
    values.setdefault("name", path.stem)
    campaign: Campaign = _build(Campaign, values, str(path))
    return replace(campaign, text=text, folder=path.parent)


_KINDS: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "tuple[float, ...]": list,
    "tuple[str, ...]": list,
}


def _build(kind: Any, values: Any, where: str) -> Any:
    """Make a dataclass of a TOML table; raises ConfigError for unknown, missing, wrong values."""
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: not a table")
    known = {f.name: str(f.type) for f in fields(kind) if f.compare}
    arguments = {}
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f"{where}: {_key(name)} is unknown; it may set {', '.join(known)}")
        expected = _KINDS.get(known[name])
        if expected and (not isinstance(value, expected) or isinstance(value, bool)):
            raise ConfigError(f"{where}: {name} cannot be {shown(value)}")
        if known[name] == "tuple[float, ...]":
            if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value):
                raise ConfigError(f"{where}: {name} must be numbers")
            try:
                value = tuple(float(v) for v in value)
            except OverflowError:
                raise ConfigError(f"{where}: {name} holds a number that is too long") from None
        elif known[name] == "tuple[str, ...]":
            if not all(isinstance(v, str) for v in value):
                raise ConfigError(f"{where}: {name} must be strings")
            value = tuple(value)
        arguments[name] = value
    try:
        return kind(**arguments)
    except TypeError:
        missing = [
            f.name
            for f in fields(kind)
            if f.name not in arguments and f.default is f.default_factory is MISSING
        ]
        raise ConfigError(f"{where}: needs {', '.join(missing)}") from None


def _key(name: str) -> str:
    """A key as a message shows it: bare where it is a short word."""
    return name if name.isidentifier() and len(name) <= 40 else shown(name)


def _distinct(values: tuple[str, ...]) -> bool:
    return bool(values) and len(set(values)) == len(values)


def _is_memory(text: str) -> bool:
    name, dot, layer = text.partition(".")
    return name in MEMORIES and (not dot or layer in map(str, range(MAX_LAYERS)))


def _ascending(rates: tuple[float, ...]) -> bool:
    return all(0 < rate <= 1 for rate in rates) and all(a < b for a, b in pairwise(rates))
