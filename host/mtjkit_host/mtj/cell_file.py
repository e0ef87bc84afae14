"""Cells as files: presets that mtjkit carries, and a user's own. docs/cells.md is the manual."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mtjkit_core.errors import ConfigError

from mtjkit_host.mtj import macrospin
from mtjkit_host.mtj.cell import (
    PAPER,
    Cell,
    Circuit,
    Direction,
    Read,
    Retention,
    Temperature,
    Variation,
)
from mtjkit_host.mtj.fokker_planck import FokkerPlanck
from mtjkit_host.mtj.section import Section
from mtjkit_host.mtj.switching import Points, Precessional, Switching, Tail, Thermal
from mtjkit_host.mtj.variation import Population
from mtjkit_host.parse import shown
from mtjkit_host.settings import parse_table, read_text

PRESETS = Path(__file__).parent / "presets"
"""One TOML file a preset."""

_MAX_POINTS = 1000
_TEXTS = ("name", "source", "verified")
_SECTIONS = ("write", "variation", "retention", "read", "circuit", "temperature")


def preset_names() -> list[str]:
    """The names of the presets that mtjkit carries, sorted."""
    return sorted(file.stem for file in PRESETS.glob("*.toml"))


def load_cell(path: str | Path) -> Cell:
    """Read a cell: a preset by its name, or a TOML or (where its name ends in .json) JSON file.

    A preset goes before a file of the same name, which ./NAME reaches.

    Raises:
        ConfigError: there is no such preset or file, or it holds anything else than a cell.
    """
    table, what, name = read_cell_table(path)
    return cell_from_table(table, what, name)


def read_cell_table(path: str | Path) -> tuple[dict[str, Any], str, str]:
    """The table of a preset or file, what messages call it, and its name.

    Raises:
        ConfigError: it cannot be read.
    """
    file = Path(path)
    preset = file.name == str(path) and file.name in preset_names()
    if preset:
        file = PRESETS / f"{file.name}.toml"
    elif file.name == str(path) and file.suffix not in (".toml", ".json") and not file.exists():
        presets = ", ".join(preset_names())
        raise ConfigError(f"cell {shown(str(path))}: no file and no preset; presets: {presets}")
    what = f"cell {file.stem}" if preset else f"cell file {file}"
    kind = "JSON" if file.suffix == ".json" else "TOML"
    return parse_table(read_text(file, what), what, kind), what, file.stem


def cell_from_table(table: dict[str, Any], what: str = "cell", name: str = "own") -> Cell:
    """Make a cell of its table: today's form, or the paper's flat tau_ns, current_ua, voltage_v.

    Args:
        table: as read from TOML or JSON.
        what: what messages call it.
        name: the cell's name where the table has none.

    Raises:
        ConfigError: the table says anything else than a cell; one line.
    """
    try:
        return _cell(table, name)
    except ConfigError as error:
        raise ConfigError(f"{what}: {error}") from None


def _cell(table: dict[str, Any], name: str) -> Cell:
    known = (*PAPER, *_SECTIONS, *_TEXTS, "notes", "stated")
    if not table:
        raise ConfigError(f"must set at least one of {', '.join((*PAPER, *_SECTIONS))}")
    for key in table:
        if key not in known:
            may = ", ".join((*PAPER, *_SECTIONS, *_TEXTS))
            raise ConfigError(f"{shown(key)} is unknown; it may set {may}")
    flat = {key: table[key] for key in PAPER if key in table}
    settings = dict(table)
    if flat and "write" in table:
        raise ConfigError(f"{next(iter(flat))} stands beside [write]; put it into [write]")
    if flat:
        numbers = Section("", flat)
        values = {key: numbers.number(key, default=PAPER[key]) for key in PAPER}
        settings = {**values, **{key: table[key] for key in table if key not in values}}
        write: dict[str, Any] = {"model": "tail", **values}
    elif "write" in table:
        write = _table(table, "write")
    elif "stated" in table:
        raise ConfigError(
            "its source states no error rate of one pulse, so no saving follows; give [write] in a "
            "file of your own"
        )
    else:
        raise ConfigError(f"must set at least one of {', '.join((*PAPER, 'write'))}")

    variation = _variation(Section("variation", _table(table, "variation")))
    up, first = _direction(write, "up", variation.sigma_ln_tau)
    down, _ = _direction(write, "down", variation.sigma_ln_tau)
    retention = _retention(Section("retention", _table(table, "retention")), first)
    read, read_pj, read_ns = _read(Section("read", _table(table, "read")), first)
    circuit = _circuit(Section("circuit", _table(table, "circuit")), read_pj, read_ns)
    temperature = _temperature(Section("temperature", _table(table, "temperature")))
    texts = {key: _text(table, key) for key in _TEXTS if key in table}
    notes = table.get("notes", [])
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise ConfigError(f"notes must be a list of texts, not {shown(notes)}")
    return Cell(
        up=up,
        down=up if up == down else down,
        name=texts.get("name", name),
        source=texts.get("source", ""),
        verified=texts.get("verified", ""),
        circuit=circuit,
        variation=variation,
        temperature=temperature,
        retention=retention,
        read=read,
        notes=tuple(notes),
        settings=settings,
    )


def at_kelvin(cell: Cell, kelvin: float) -> Cell:
    """The cell at another temperature, which retention and read disturb follow.

    Raises:
        ConfigError: the temperature is out of range.
    """
    section = {**cell.settings.get("temperature", {}), "kelvin": kelvin}
    temperature = _temperature(Section("temperature", section))
    settings = {**cell.settings, "temperature": section}
    return replace(cell, temperature=temperature, settings=settings)


def _table(table: dict[str, Any], key: str) -> dict[str, Any]:
    found = table.get(key, {})
    if not isinstance(found, dict):
        raise ConfigError(f"{key} must be a table, [{key}], not {shown(found)}")
    return found


def _text(table: dict[str, Any], key: str) -> str:
    if not isinstance(table[key], str):
        raise ConfigError(f"{key} must be a text, not {shown(table[key])}")
    return str(table[key])


class _Macrospin:
    """Delta and the unit of time of the first direction, where it has them."""

    def __init__(self, switching: Switching):
        self.delta = getattr(switching, "delta", None)
        self.t_d_ns = getattr(switching, "t_d_ns", None)


def _direction(write: dict[str, Any], way: str, sigma: float) -> tuple[Direction, _Macrospin]:
    """One direction: [write] with what [write.up] or [write.down] puts over it."""
    shared = {key: value for key, value in write.items() if key not in ("up", "down")}
    own = {**shared, **_table(write, way)}
    s = Section("write", own)
    model = s.any("model")
    model = "tail" if model is None else model
    if not isinstance(model, str) or model not in MODELS:
        raise ConfigError(f"write.model is one of {', '.join(MODELS)}, not {shown(model)}")
    current, voltage = s.maybe("current_ua"), s.maybe("voltage_v")
    after = s.maybe("after_ua")
    r_p, r_ap = s.maybe("r_p_kohm"), s.maybe("r_ap_kohm")
    if (r_p is None) != (r_ap is None):
        raise ConfigError("write.r_p_kohm and write.r_ap_kohm belong together")
    if r_p is not None and r_ap is not None:
        if voltage is None or after is not None or current is not None:
            raise ConfigError(
                "write.r_p_kohm and write.r_ap_kohm mean a constant voltage: give voltage_v, and "
                "neither current_ua nor after_ua"
            )
        first, second = (r_p, r_ap) if way == "up" else (r_ap, r_p)
        current, after = voltage / first * 1e3, voltage / second * 1e3
    switching = MODELS[model](s, current)
    s.end()
    found = _Macrospin(switching)
    if sigma:
        switching = Population(switching, sigma)
    return Direction(switching, current, voltage, after), found


def _tail(s: Section, current: float | None) -> Switching:
    amplitude = s.number("amplitude", 1e-6, 1e9, 1.0)
    pulse, rate = s.maybe("pulse_ns"), s.maybe("error_rate", 1e-30, 0.999)
    tau = s.maybe("tau_ns")
    if tau is None and pulse is not None and rate is not None:
        unit = Tail(1.0, amplitude).pulse_width_ns(rate)
        if not unit:
            raise ConfigError("write.error_rate must lie below write.amplitude")
        tau = pulse / unit
    elif pulse is not None or rate is not None:
        raise ConfigError("write: give tau_ns, or pulse_ns together with error_rate")
    return Tail(s.number("tau_ns") if tau is None else tau, amplitude)


def _current(s: Section, current: float | None, low: float, high: float) -> float:
    """I / Ic0: given, or from current_ua and ic0_ua."""
    critical, i = s.maybe("ic0_ua"), s.maybe("i", low, high)
    if i is None and critical is not None and current is not None:
        i = current / critical
        if not low <= i <= high:
            raise ConfigError(
                f"write: current_ua / ic0_ua must lie between {low:g} and {high:g}, not {i:.4g}"
            )
    if i is None:
        raise ConfigError("write: give i (current / critical current), or ic0_ua and current_ua")
    return i


def _time_unit(s: Section) -> float:
    """t_d in ns: given, or from damping and anisotropy field."""
    t_d, alpha = s.maybe("t_d_ns"), s.maybe("alpha", 1e-5, 1)
    field = s.maybe("anisotropy_t", 1e-4, 100)
    if t_d is None and alpha is not None and field is not None:
        return macrospin.time_unit_ns(alpha, field)
    if t_d is None:
        raise ConfigError("write: give t_d_ns, or alpha and anisotropy_t")
    return t_d


_BELOW = 1 - 1e-6


def _thermal(s: Section, current: float | None) -> Switching:
    delta, i = s.number("delta", 1, 500), _current(s, current, 0, _BELOW)
    tau0, exponent = s.any("tau0_ns"), s.number("exponent", 1, 2, 2.0)
    if delta * (1 - i) ** exponent > 600:
        raise ConfigError("write: this barrier never switches; raise i")
    if tau0 == "kramers":
        if exponent != 2:
            raise ConfigError('write.tau0_ns = "kramers" belongs to exponent 2')
        return Thermal.kramers(delta, i, _time_unit(s))
    return Thermal(delta, i, s.number("tau0_ns"), exponent)


def _precessional(s: Section, current: float | None) -> Switching:
    constant = s.any("constant")
    if constant not in (None, "published", "macrospin"):
        raise ConfigError(f"write.constant is published or macrospin, not {shown(constant)}")
    return Precessional(
        s.number("delta", 1, 500),
        _current(s, current, 1 + 1e-6, 100),
        _time_unit(s),
        constant == "macrospin",
    )


def _fokker_planck(s: Section, current: float | None) -> Switching:
    cells = s.whole("cells", 40, 1600, 400)
    if cells % 4:
        raise ConfigError(f"write.cells must be a multiple of 4, not {cells}")
    return FokkerPlanck(
        s.number("delta", 5, 300), _current(s, current, 0, 20), _time_unit(s), cells
    )


def _points(s: Section, current: float | None) -> Switching:
    points = s.any("points")
    if not isinstance(points, list) or not 1 <= len(points) <= _MAX_POINTS:
        raise ConfigError(
            f"write.points must be a list of 1 to {_MAX_POINTS} pairs [pulse_ns, error_rate]"
        )
    found: list[tuple[float, float]] = []
    for point in points:
        if not isinstance(point, list) or len(point) != 2:
            raise ConfigError(f"write.points: {shown(point)} is not a pair [pulse_ns, error_rate]")
        pair = Section("write.points", {"pulse_ns": point[0], "error_rate": point[1]})
        found.append((pair.number("pulse_ns"), pair.number("error_rate", 1e-30, 1)))
    if any(b <= a for (a, _), (b, _) in itertools.pairwise(found)):
        raise ConfigError("write.points: pulse widths must rise")
    return Points(tuple(found))


MODELS: dict[str, Callable[[Section, float | None], Switching]] = {
    "tail": _tail,
    "thermal": _thermal,
    "precessional": _precessional,
    "fokker-planck": _fokker_planck,
    "table": _points,
}
"""Name in a cell file -> what reads its keys."""


def _variation(s: Section) -> Variation:
    found = Variation(
        s.number("sigma_ln_tau", 0, 2, 0.0),
        s.whole("classes", 1, 64, 4),
        s.maybe_whole("chip", 0, 2**64 - 1),
    )
    s.end()
    return found


def _retention(s: Section, cell: _Macrospin) -> Retention | None:
    if not s.values:
        return None
    found = Retention(
        s.number("delta", 5, 300, cell.delta),
        s.number("t_d_ns", default=cell.t_d_ns),
        s.number("hold_ms", 0, 1e15),
    )
    s.end()
    return found


def _read(s: Section, cell: _Macrospin) -> tuple[Read | None, float, float]:
    """Read disturb, if [read] says enough, and the energy and time of a read."""
    pj, ns = s.number("pj", 0, 1e6, 0.0), s.number("ns", 0, 1e9, 0.0)
    i, pulse = s.maybe("i", 0, _BELOW), s.maybe("pulse_ns")
    if (i is None) != (pulse is None):
        raise ConfigError("read.i and read.pulse_ns belong together")
    delta, t_d = s.maybe("delta", 5, 300), s.maybe("t_d_ns")
    direction = s.choice("direction", ("down", "up"), "down")
    s.end()
    if i is None or pulse is None:
        return None, pj, ns
    delta, t_d = delta or cell.delta, t_d or cell.t_d_ns
    if delta is None or t_d is None:
        raise ConfigError("read.delta or read.t_d_ns is missing")
    return Read(delta, t_d, i, pulse, direction), pj, ns


def _circuit(s: Section, read_pj: float, read_ns: float) -> Circuit:
    found = Circuit(
        read_pj=s.number("read_pj", 0, 1e6, read_pj),
        read_ns=s.number("read_ns", 0, 1e9, read_ns),
        monitor_pj=s.number("monitor_pj", 0, 1e6, 0.0),
        detect_ns=s.number("detect_ns", 0, 1e9, 0.0),
        min_ns=s.number("min_ns", 0, 1e9, 0.0),
        decode_pj=s.number("decode_pj", 0, 1e6, 0.0),
    )
    s.end()
    return found


def _temperature(s: Section) -> Temperature:
    found = Temperature(
        s.number("kelvin", 1, 1000, macrospin.ROOM_K),
        s.number("n", 0, 10, 0.0),
        s.number("t_star", 310, 5000, 1120.0),
    )
    s.end()
    if found.n and found.kelvin > 0.95 * found.t_star:
        raise ConfigError(
            f"temperature.kelvin {found.kelvin:g} is too near to t_star {found.t_star:g}"
        )
    return found
