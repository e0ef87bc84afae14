"""What a report says in words and tables: headings, rows and sentences as plain text."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from pathlib import Path
from typing import Any

from mtjkit_host import paper
from mtjkit_host.analysis.findings import Finding
from mtjkit_host.analysis.summary import Acceptable, Summary
from mtjkit_host.campaign.description import where
from mtjkit_host.campaign.runner import CampaignResult
from mtjkit_host.mtj.cell import REFERENCE_RATE, Cell
from mtjkit_host.mtj.command import savings

KINDS = {"flip": "bit flipped", "keep": "old value kept"}
"""What an error does, in words."""


@dataclass(frozen=True)
class TextTable:
    """A table of texts."""

    head: Sequence[str]
    """Of each column."""
    rows: Sequence[Sequence[str]]
    """As long as `head`."""
    caption: str = ""
    """One sentence."""
    empty: str = "Not measured."
    """What stands in its place where it has no rows."""

    @property
    def texts(self) -> set[int]:
        """Columns of words, which begin at the left; the others are numbers and units."""
        found = set(range(len(self.head)))
        for column in range(len(self.head)):
            values = [row[column] for row in self.rows if row[column]]
            if all(v[0] in "0123456789+-<>–" and not re.search("[a-z]{3}", v) for v in values):
                found.remove(column)
        return found


def warnings(result: CampaignResult) -> list[str]:
    """What is missing, a sentence each."""
    texts = [f"{label} is not here: {why}." for label, why in result.missing.items()]
    if not result.complete:
        texts.append(
            f"Only {len(result.records)} of {result.points} points are done; the same command "
            "goes on with the rest."
        )
    return texts


def verdicts(found: list[Finding]) -> list[tuple[str, str, str]]:
    """Of each finding: the statement, whether it holds here, our numbers."""
    verdict = {True: "holds", False: "does not hold", None: "cannot be said"}
    return [(f.statement, f"Here it {verdict[f.holds]}.", f.evidence) for f in found]


def table_1(
    result: CampaignResult, summary: Summary, columns: Mapping[str, Mapping[str, str]]
) -> TextTable:
    """Accuracy without errors, beside the paper's; `columns` as in `write_report`."""
    rows = []
    for entry in result.campaign.nets:
        ours = summary.error_free.get(entry.label)
        net = result.nets.get(entry.label)
        printed = paper.ACCURACY.get(entry.paper)
        difference = "" if None in (ours, printed) else f"{100 * (ours - printed):+.2f}"  # type: ignore[operator]
        why = "missing, see above" if entry.label in result.missing else ""
        if net:
            size = f"{net['weight_bits'] // net['bits']:,} weights"
            if entry.paper:
                size += f", {_of_paper(net, entry.paper)} the paper's"
            why = "; ".join(text for text in (size, net.get("training"), entry.note) if text)
        rows.append(
            [
                entry.label,
                "" if ours is None else f"{100 * ours:.2f}",
                "" if printed is None else f"{100 * printed:.2f}",
                difference,
                why,
                *(texts.get(entry.label, "") for texts in columns.values()),
            ]
        )
    head = ["net", "ours (%)", "paper (%)", "difference", "what differs", *columns]
    if not any(entry.paper for entry in result.campaign.nets):
        head = ["net", "accuracy (%)", "network", *columns]
        rows = [[row[0], row[1], *row[4:]] for row in rows]
    return TextTable(head, rows, f"Error-free, on {result.campaign.images} images.")


def _of_paper(net: Mapping[str, Any], paper_net: str) -> str:
    """How a net's number of weights compares with the paper's: ``as many as`` or ``1/16 of``."""
    share = net["weight_bits"] / net["bits"] / paper.weights(paper_net)
    return "as many as" if share == 1 else f"1/{1 / share:.3g} of"


def why(result: CampaignResult, summary: Summary) -> str:
    """What makes our values differ from the paper's, with what the results say about it."""
    entries = [e for e in result.campaign.nets if e.label in result.nets]
    bits = {e.label: result.nets[e.label]["bits"] for e in entries}
    weights = {e.label: result.nets[e.label]["weight_bits"] / bits[e.label] for e in entries}
    smaller = [e.label for e in entries if e.paper and weights[e.label] < paper.weights(e.paper)]
    text = (
        "Where ours differ: the paper does not list its error rates nor how it found the "
        "acceptable ones, and its nets are not published, so ours are trained anew."
    )
    if smaller:
        text += (
            f" {'; '.join(smaller)}: smaller than the paper's nets, and less accurate to begin "
            "with; the paper itself expects tolerance to depend on model size (Sect. 5)."
        )
    accepted = _accepted(summary)
    for a, b in permutations(entries, 2):
        alike = weights[a.label] == weights[b.label] and bits[a.label] == bits[b.label]
        if a.paper and a.paper == b.paper and weights[a.label] > weights[b.label]:
            lead, memory, other = "How much, two nets here show", "feature_maps", b.label
        elif alike and a.paper and not b.paper and b.note:
            lead, memory = "Nets of one size differ too", "weights"
            other = f"{b.label} ({b.note})"
        else:
            continue
        rates = accepted[a.label, memory], accepted[b.label, memory]
        if len(rates[0]) == len(rates[1]) == len(paper.DEGRADATIONS):
            first, second = (" and ".join(found) for found in rates)
            text += (
                f" {lead}: in {memory.replace('_', ' ')} {a.label} accepts {first} at 3 % and "
                f"30 % degradation, {other} {second}."
            )
    return text


def _accepted(summary: Summary) -> Mapping[tuple[str, str], list[str]]:
    """(net, memory) -> the rates that were found for flipped bits, as text."""
    rates = defaultdict(list)
    for entry in summary.acceptable:
        if entry.errors == "flip" and not entry.found.bound:
            rates[entry.net, entry.memory].append(f"{100 * entry.found.edge:.3g} %")
    return rates


def table_2(summary: Summary, memory: str, beside: bool = False) -> TextTable:
    """Acceptable rates in a memory; `beside` the paper's in feature maps."""
    rows = [
        [
            entry.net,
            KINDS[entry.errors],
            f"{100 * entry.found.limit:g} %",
            entry.interval,
            "" if entry.energy_pj is None else f"{entry.energy_pj:.2f}",
            "" if entry.saving_percent is None else f"{entry.saving_percent:.1f}",
            "" if entry.paper is None else f"{100 * entry.paper.rate:.2f}",
            "" if entry.paper is None else f"{entry.paper.energy_pj:.2f}",
            "" if entry.paper is None else f"{entry.paper.saving_percent:.1f}",
            _agreement(entry),
        ]
        for entry in summary.acceptable
        if entry.memory == memory
    ]
    head = ["net", "an error", "degradation", "acceptable rate (%)", "energy (pJ)", "saving (%)"]
    if memory == "feature_maps" and beside:
        head += ["paper: rate (%)", "energy (pJ)", "saving (%)", "in our interval"]
    else:
        rows = [row[:6] for row in rows]
    return TextTable(head, rows)


def by_layer(summary: Summary) -> TextTable:
    """Acceptable rates where the errors are in one layer's part of a memory."""
    found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for entry in summary.by_layer:
        found[entry.net, entry.memory, entry.errors].append(entry.interval)
    rows = [
        [net, where(memory), KINDS[errors], *intervals]
        for (net, memory, errors), intervals in found.items()
    ]
    head = ["net", "errors in", "an error", *(f"at {100 * d:g} % (%)" for d in paper.DEGRADATIONS)]
    return TextTable(head, rows, "Acceptable error rates where only this layer has errors.")


def energies(summary: Summary) -> TextTable:
    """Pulses, plans and schemes on one axis."""
    limit = paper.DEGRADATIONS[0]
    rows = []
    for line in summary.tradeoffs:
        good = [spot for spot in line.spots if line.is_plan or spot.lost.value <= limit]
        if not good:
            continue
        spot = max(good, key=lambda spot: spot.saving_percent)
        worth = " (near chance: worth nothing)" if spot.near_chance else ""
        rows.append(
            [
                line.net,
                f"plan {line.way}" if line.is_plan else "one pulse for all layers",
                KINDS[line.errors],
                f"{100 * spot.rate:.3g}",
                f"{100 * spot.lost.value:.2f}",
                f"{spot.energy_pj:.2f}",
                f"{spot.saving_percent:.1f}{worth}",
                line.scheme,
                line.overheads,
                f"{100 * spot.toggle_share:.1f}",
                f"{line.cell}; {line.population}",
            ]
        )
    head = ["net", "pulses", "an error", "mean rate (%)", "lost (%)", "pJ a bit", "saving (%)"]
    head += ["scheme", "overheads", "toggle (%)", "cell"]
    caption = (
        f"Plans, and of each scheme the highest measured rate that loses at most {100 * limit:g} % "
        "of the error-free accuracy of the net as it was trained. Savings are of the feature maps, "
        f"against a fixed pulse of the same cell at {REFERENCE_RATE:g}."
    )
    return TextTable(head, rows, caption, "No rate within the limit.")


@lru_cache(maxsize=1)
def dependence() -> TextTable:
    """What a saving depends on beside the error rate."""
    table = savings()
    columns = [
        [getattr(cell, "plain", str(cell)) for cell in column.cells] for column in table.columns
    ]
    return TextTable(
        [str(column.header) for column in table.columns],
        list(zip(*columns, strict=True)),
        "Write energy saved at an error rate of 2.4 %: cell, population, baseline, scheme.",
    )


def _agreement(entry: Acceptable) -> str:
    """Whether the paper's rate lies in our interval."""
    low, high = entry.found.low, entry.found.high
    if entry.paper is None or low is None or high is None:
        return ""
    return "yes" if low <= entry.paper.rate <= high else "no"


def layers(summary: Summary) -> TextTable:
    """RRMSE by layer at each curve's highest rate up to 10 %."""
    rows = []
    for curve in summary.rrmse:
        level = max(
            (level for level in curve.levels if level.rate <= 0.1),
            key=lambda level: level.rate,
            default=curve.levels[0],
        )
        parts = ["–" if v is None else f"{v:.3f}" for v in level.by_layer]
        total = f"{level.value.value:.3f}"
        place = f"{curve.memory.replace('_', ' ')}, {curve.errors}"
        rows.append([curve.net, place, f"{100 * level.rate:g}", total, *parts])
    width = max((len(row) for row in rows), default=4)
    rows = [row + [""] * (width - len(row)) for row in rows]
    head = ["net", "errors in", "rate (%)", "RRMSE", *(f"layer {i}" for i in range(width - 4))]
    caption = "sqrt(var(delta) / var(x)) of each layer's input; layer 0's is the image."
    return TextTable(head, rows, caption)


def rates(result: CampaignResult) -> TextTable:
    """What each memory really saw, over all repeats of a rate."""
    sums: dict[tuple[str, str, str, float], list[int]] = {}
    for record in result.records:
        point = record.point
        if point.memory != "none":
            key = (point.net, point.memory, point.errors, point.rate)
            total = sums.setdefault(key, [0, 0, 0])
            total[0] += 1
            total[1] += record.bits.written
            total[2] += record.bits.wrong
    rows = []
    for (net, memory, errors, rate), (points, written, wrong) in sums.items():
        row = [net, where(memory), errors, f"{rate:g}", f"{wrong / written:.6g}"]
        rows.append([*row, f"{written:,}", f"{wrong:,}", str(points)])
    head = ["net", "memory", "errors", "requested", "achieved", "bits written", "wrong", "points"]
    return TextTable(head, rows)


def nets(result: CampaignResult) -> TextTable:
    """Files and sizes of the nets."""
    rows = []
    for label, net in result.nets.items():
        sizes = [f"{net['weight_bits']:,}", f"{net['map_bits']:,}"]
        rows.append([label, Path(net["file"]).name, net["sha256"][:16], *sizes, net["arithmetic"]])
    head = ["net", "file", "SHA-256", "weight bits", "feature-map bits an image", "arithmetic"]
    return TextTable(head, rows)


def energy_note(cell: Cell, scheme: str) -> str:
    """How acceptable rates and their energies were found."""
    return (
        "Acceptable rate: where the mean degradation, made monotone (pool adjacent violators), "
        "reaches the limit, interpolated linearly over log(rate). In brackets its 95 % "
        "bootstrap interval over the repeats; an end outside the measured rates is shown as …. "
        f"Energies are modelled: E = V I t of the cell ({cell.describe()}), {cell.population}, "
        f"scheme {scheme}, where half of the bits toggle; savings are against a fixed pulse at the "
        f"reference write-error rate of {REFERENCE_RATE:g} ({cell.reference_energy_pj:.3f} pJ)."
    )
