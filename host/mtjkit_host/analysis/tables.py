"""A campaign's tables on the terminal."""

from __future__ import annotations

from typing import Literal

from rich.console import Console
from rich.table import Table

from mtjkit_host import paper
from mtjkit_host.analysis.page import interval
from mtjkit_host.analysis.summary import summarize
from mtjkit_host.campaign.runner import CampaignResult
from mtjkit_host.mtj.cell import Cell


def print_tables(
    result: CampaignResult, cell: Cell | None = None, console: Console | None = None
) -> None:
    """Print Tables 1 and 2 beside the paper's values, and what is missing, to stdout."""
    console = console or Console(width=200)  # room for every column, whatever reads it
    summary = summarize(result, cell)
    table = Table(title=f"Without errors, {result.campaign.images} images")
    for name in ("net", "ours (%)", "paper (%)"):
        table.add_column(name, justify="left" if name == "net" else "right")
    for entry in result.campaign.nets:
        ours, printed = summary.error_free.get(entry.label), paper.ACCURACY.get(entry.paper)
        cells = ("" if value is None else f"{100 * value:.2f}" for value in (ours, printed))
        table.add_row(entry.label, *cells)
    console.print(table)
    table = Table(title="Acceptable error rates and modelled write energy")
    head = ("net", "errors in", "loss", "rate (%) [95 %]", "paper (%)", "pJ", "saving (%)")
    for name in head:
        justify: Literal["left", "right"] = "left" if name in head[:2] else "right"
        table.add_column(name, justify=justify, no_wrap=True)
    for row in summary.acceptable:
        kept = ", old value kept" if row.errors == "keep" else ""
        table.add_row(
            row.net,
            row.memory.replace("_", " ") + kept,
            f"{100 * row.found.limit:g} %",
            interval(row).replace("[", r"\["),
            "" if row.paper is None else f"{100 * row.paper.rate:.2f}",
            "" if row.energy_pj is None else f"{row.energy_pj:.2f}",
            "" if row.saving_percent is None else f"{row.saving_percent:.1f}",
        )
    console.print(table)
    for label, why in result.missing.items():
        console.print(f"missing: {label}: {why}", markup=False, soft_wrap=True)
    if not result.complete:
        left = result.points - len(result.records)
        console.print(
            f"{left} of {result.points} points are left; the same command goes on", soft_wrap=True
        )
