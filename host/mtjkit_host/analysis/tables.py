"""A campaign's tables for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mtjkit_host import paper
from mtjkit_host.analysis.sections import by_layer
from mtjkit_host.analysis.summary import Acceptable, Summary, summarize
from mtjkit_host.campaign.runner import CampaignResult
from mtjkit_host.mtj.cell import REFERENCE_RATE, Cell

COLUMNS = 200
"""A terminal's width that every column has room in."""


def print_tables(
    result: CampaignResult, cell: Cell | None = None, console: Console | None = None
) -> None:
    """Print `tables` to stdout, or to another console."""
    console = console or Console(width=COLUMNS)
    for part in tables(result, cell):
        console.print(part, soft_wrap=isinstance(part, Text))


def tables(
    result: CampaignResult, cell: Cell | None = None, scheme: str = "fixed"
) -> list[Table | Text]:
    """Tables 1 and 2 beside the paper's values, and a line for everything that is missing.

    Args:
        result: of `run_campaign`, complete or not.
        cell: the MTJ cell that energies are of; default the paper's.
        scheme: the write scheme that energies are of.
    """
    summary = summarize(result, cell, scheme)
    beside = any(entry.paper for entry in result.campaign.nets)
    first = Table(title=f"Without errors, {result.campaign.images} images")
    for name in ("net", "accuracy %", "paper %")[: 3 if beside else 2]:
        first.add_column(name, justify="left" if name == "net" else "right")
    for entry in result.campaign.nets:
        ours, printed = summary.error_free.get(entry.label), paper.ACCURACY.get(entry.paper)
        values = (ours, printed) if beside else (ours,)
        cells = ("" if value is None else f"{100 * value:.2f}" for value in values)
        first.add_row(Text(entry.label), *cells)
    parts: list[Table | Text] = [first, *_acceptable(summary, cell or Cell(), scheme)]
    layers = by_layer(summary)
    if layers.rows:
        third = Table(*layers.head, title=layers.caption.rstrip("."))
        for texts in layers.rows:
            third.add_row(*map(Text, texts))
        parts.append(third)
    plans = [line for line in summary.tradeoffs if line.is_plan]
    if plans:
        fourth = Table("plan", "written", "lost (%)", "pJ", "saving (%)", title="Pulse plans")
        fourth.caption = (
            "lost: of the error-free accuracy of the net as it was trained; saving against a fixed "
            f"pulse of the same cell at {REFERENCE_RATE:g}"
        )
        for line in plans:
            for spot in line.spots:
                fourth.add_row(
                    Text(line.way),
                    f"{line.errors}; {line.cell}, {line.population}; scheme {line.scheme}, "
                    f"{100 * spot.toggle_share:.0f} % of the bits toggle",
                    f"{100 * spot.lost.value:.2f}",
                    f"{spot.energy_pj:.2f}",
                    f"{spot.saving_percent:.1f}"
                    + " (near chance: worth nothing)" * spot.near_chance,
                )
        parts.append(fourth)
    parts += [Text(f"missing: {label}: {why}") for label, why in result.missing.items()]
    if not result.complete:
        left = result.points - len(result.records)
        parts.append(Text(f"{left} of {result.points} points are left; the same command goes on"))
    return parts


def _acceptable(summary: Summary, cell: Cell, scheme: str) -> list[Table]:
    """Table 2: a table of acceptable rates for each memory and kind of error, of 80 columns."""
    found: dict[tuple[str, str], list[Acceptable]] = {}
    for row in summary.acceptable:
        found.setdefault((row.memory, row.errors), []).append(row)
    parts = []
    for (memory, errors), rows in sorted(found.items()):
        beside = any(row.paper for row in rows)
        table = Table(title=f"Acceptable write-error rates of {memory.replace('_', ' ')}, {errors}")
        table.add_column("net", overflow="fold")
        for name in ("loss", "rate % [95 %]", "pJ", "saving %", "paper %")[: 5 if beside else 4]:
            table.add_column(name, justify="right", no_wrap=True)
        for row in rows:
            table.add_row(
                Text(row.net),
                f"{100 * row.found.limit:g} %",
                Text(row.interval),
                "" if row.energy_pj is None else f"{row.energy_pj:.2f}",
                "" if row.saving_percent is None else f"{row.saving_percent:.1f}",
                *["" if row.paper is None else f"{100 * row.paper.rate:.2f}"] * beside,
            )
        parts.append(table)
    if parts:
        parts[-1].caption = (
            f"pJ for a bit, modelled: cell {cell.describe()}, {cell.population}; scheme {scheme}, "
            f"half of the bits toggle; saving against a fixed pulse at {REFERENCE_RATE:g}"
        )
    return parts
