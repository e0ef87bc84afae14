"""The boards: what firmware/boards/NAME/board.toml says of each.

Every tool that must know a board reads it here. MTJKIT_BOARDS names more folders of boards, those
of a user say. firmware/boards/README.md has the table of all fields.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtjkit_core.errors import ConfigError
from mtjkit_export.heap import Processor, Share

from mtjkit_host.boards.architectures import ARCHITECTURES, COMPILERS, THUMB
from mtjkit_host.paths import BOARDS
from mtjkit_host.settings import parse_table, read_text

FILE = "board.toml"


@dataclass(frozen=True)
class Romfs:
    """Memory that is mapped read-only, for a model that is read in place."""

    address: int
    """Where it begins."""
    bytes: int
    """Its size."""


@dataclass(frozen=True)
class Bench:
    """How `bench` counts a board's time."""

    unit: str
    """What its clock counts: instructions, cycles, ms."""
    per_us: float
    """How many in a microsecond of the board's own clock."""
    kernels: tuple[str, ...] = ()
    """The kernels to measure; empty for all."""


@dataclass(frozen=True)
class BoardSpec:
    """What is known of a kind of board beforehand."""

    name: str
    """The folder's name, which is the board's on command lines."""
    title: str
    """For people."""
    architecture: str
    """What mpy-cross calls its processor."""
    port: str
    """MicroPython's port; one of our own has its sources in firmware/boards/PORT."""
    platforms: tuple[str, ...]
    """sys.platform there."""
    flow_control: bool
    """Its serial line loses nothing while the board does not read."""
    native: str = ""
    """The build of the native module that it runs, if a better one than its architecture's."""
    processors: tuple[str, ...] = ()
    """Names of its processors in sys.implementation._machine, behind "with"."""
    debian: tuple[str, ...] = ()
    """Debian packages that its firmware and its emulator need."""
    builder: str = ""
    """Module of mtjkit_host.boards.build that builds its firmware; "" if none does."""
    build: dict[str, Any] = field(default_factory=dict)
    """The builder's own settings."""
    image: str = ""
    """File name of its firmware."""
    firmware_of: str = ""
    """The board whose firmware it has; "" for one of its own."""
    heap_bytes: int = 0
    """MicroPython's heap unless another is asked for; 0: what the RAM leaves."""
    heap_range: tuple[int, int] = (0, 0)
    """The smallest and the largest heap that it can be built with."""
    emulator: str = ""
    """Module of mtjkit_host.boards.emulators that stands in for it; "" if none does."""
    emulate: dict[str, Any] = field(default_factory=dict)
    """The emulator's own settings."""
    serial_bytes: int = 0
    """A longer model lies in an emulated board's mapped memory from the start."""
    romfs: Romfs | None = None
    """Its mapped memory, or None."""
    bench: Bench | None = None
    """How its time is counted, or None."""
    processor: Processor | None = None
    """The heap that mtjkit's code takes on this processor; None: not measured on this board."""

    @property
    def advice(self) -> str:
        """How its tools are installed."""
        return f"Debian: apt install {' '.join(self.debian)}"


def boards() -> dict[str, BoardSpec]:
    """All boards by name, in the order of their names.

    Raises:
        ConfigError: a board.toml is damaged; the message names the file and the field.
    """
    folders = [
        BOARDS,
        *map(Path, filter(None, os.environ.get("MTJKIT_BOARDS", "").split(os.pathsep))),
    ]
    files = {path.parent.name: path for folder in folders for path in folder.glob(f"*/{FILE}")}
    return {name: read_board(files[name]) for name in sorted(files)}


def board_named(name: str) -> BoardSpec:
    """The board of this name.

    Raises:
        ConfigError: there is none, or its board.toml is damaged.
    """
    known = boards()
    if name not in known:
        raise ConfigError(f"board {name!r} is unknown: one of {', '.join(known)}")
    return known[name]


def native_of(machine: str) -> str:
    """The build of the native module that a board is known to run; "" for its architecture's.

    Whether a processor has an extension cannot be tried, since an instruction that it lacks crashes
    it, and MicroPython does not tell. So the processor's name decides.

    Args:
        machine: what the board says in sys.implementation._machine.
    """
    processor = machine.rpartition(" with ")[2]
    return next((spec.native for spec in boards().values() if processor in spec.processors), "")


def has_flow_control(platform: str) -> bool:
    """Whether the serial line of a board whose sys.platform this is has flow control."""
    return any(platform in spec.platforms and spec.flow_control for spec in boards().values())


def processors() -> dict[str, Processor]:
    """The measured shares of the heap, by architecture."""
    found = (spec for spec in boards().values() if spec.processor is not None)
    return {spec.architecture: spec.processor for spec in found if spec.processor}


def microcontrollers() -> list[Processor]:
    """The measured shares of the heap on processors of 32 bits."""
    return [found for name, found in processors().items() if name not in ("x64", "x86")]


def processor_of(architecture: str) -> Processor:
    """The heap shares of an architecture.

    A Cortex-M that was not measured has the shares of the nearest one before it that was. Any
    other architecture gets the largest measured shares of a 32-bit processor.
    """
    known = processors()
    if architecture in THUMB:
        for name in reversed(THUMB[: THUMB.index(architecture) + 1]):
            if name in known:
                return known[name]
    if architecture in known:
        return known[architecture]
    small = microcontrollers()
    if not small:
        raise ConfigError("no board in firmware/boards has a [heap] table")
    return max(small, key=lambda p: max(share.code for share in p.shares.values()))


def read_board(path: Path) -> BoardSpec:
    """Read a board.toml.

    Raises:
        ConfigError: it cannot be read, lacks a field, or a field has a wrong type or an unknown
            name.
    """
    table = _Table(parse_table(read_text(path, str(path)), str(path)), str(path))
    build, emulate = table.table("build"), table.table("emulate")
    romfs, bench, heap = table.table("romfs"), table.table("bench"), table.table("heap")
    spec = BoardSpec(
        name=path.parent.name,
        title=table.take("title", str),
        architecture=table.take("architecture", str),
        port=table.take("port", str),
        platforms=tuple(table.take("platforms", list, of=str)),
        flow_control=table.take("flow_control", bool),
        native=table.take("native", str, ""),
        processors=tuple(table.take("processors", list, [], of=str)),
        debian=tuple(table.take("debian", list, [], of=str)),
        builder=build.take("with", str) if build else "",
        image=build.take("image", str) if build else "",
        firmware_of=table.take("firmware_of", str, ""),
        heap_bytes=build.take("heap_bytes", int, 0) if build else 0,
        heap_range=_pair(build) if build else (0, 0),
        emulator=emulate.take("with", str) if emulate else "",
        serial_bytes=emulate.take("serial_bytes", int, 0) if emulate else 0,
        romfs=Romfs(romfs.take("address", int), romfs.take("bytes", int)) if romfs else None,
        bench=_bench(bench) if bench else None,
        processor=_processor(heap) if heap else None,
        build=build.rest() if build else {},
        emulate=emulate.rest() if emulate else {},
    )
    for part in (table, romfs, bench, heap):
        if part:
            part.end()
    if spec.architecture not in ARCHITECTURES:
        known = ", ".join(name for name in ARCHITECTURES if name)
        raise ConfigError(f"{path}: architecture {spec.architecture!r} is unknown: one of {known}")
    if spec.native and spec.native not in COMPILERS:
        known = ", ".join(COMPILERS)
        raise ConfigError(f"{path}: native {spec.native!r} is unknown: one of {known}")
    return spec


def setting(spec: BoardSpec, table: dict[str, Any], key: str, kind: type) -> Any:
    """A builder's or an emulator's own setting of a board.

    Raises:
        ConfigError: the board lacks it, or it has another type.
    """
    value = table.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ConfigError(f"{spec.name}/{FILE}: {key} must be {_KINDS[kind]}, not {value!r}")
    return value


_KINDS = {str: "a text", int: "a whole number", bool: "true or false", list: "a list"}
_KINDS |= {dict: "a table", float: "a number"}
_NEEDED = object()


class _Table:
    """A table of a board.toml, whose fields are taken one by one."""

    def __init__(self, values: dict[str, Any], what: str) -> None:
        self._left = dict(values)
        self._what = what

    def take(self, key: str, kind: type, default: Any = _NEEDED, of: type | None = None) -> Any:
        value = self._left.pop(key, default)
        if value is _NEEDED:
            raise ConfigError(f"{self._what}: {key} is missing")
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        wrong = not isinstance(value, kind) or (kind is int and isinstance(value, bool))
        if wrong or (kind is int and value < 0):
            raise ConfigError(f"{self._what}: {key} must be {_KINDS[kind]}, not {value!r}")
        if of is not None and not all(isinstance(item, of) for item in value):
            raise ConfigError(f"{self._what}: {key} must hold only texts or numbers of one kind")
        return value

    def table(self, key: str) -> _Table | None:
        values = self.take(key, dict, {})
        return _Table(values, f"{self._what}: [{key}]") if values else None

    def names(self) -> list[str]:
        return list(self._left)

    def rest(self) -> dict[str, Any]:
        """What was not taken: settings that belong to a builder or an emulator."""
        rest, self._left = self._left, {}
        return rest

    def end(self) -> None:
        if self._left:
            raise ConfigError(f"{self._what}: {', '.join(self._left)}: no such field")


def _pair(build: _Table) -> tuple[int, int]:
    values = build.take("heap_range", list, [0, 0], of=int)
    if len(values) != 2:
        raise ConfigError(f"{build._what}: heap_range must hold the smallest and the largest heap")
    return values[0], values[1]


def _bench(table: _Table) -> Bench:
    kernels = tuple(table.take("kernels", list, [], of=str))
    return Bench(table.take("unit", str), table.take("per_us", float), kernels)


def _processor(table: _Table) -> Processor:
    title = table.take("title", str)
    repacks, maps = table.take("repacks", bool, False), table.take("maps", bool, True)
    shares = {}
    for kernel in table.names():
        share = table.table(kernel)
        if share is None:
            raise ConfigError(f"{table._what}: {kernel} is empty")
        names = ("code", "layer", "loading")
        shares[kernel] = Share(*(share.take(name, int) for name in names))
        share.end()
    if not shares:
        raise ConfigError(f"{table._what}: no kernel is there")
    return Processor(title, shares, repacks, maps)
