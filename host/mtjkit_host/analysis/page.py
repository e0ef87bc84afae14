"""One self-contained HTML page: every figure, table, setting, seed and version of a campaign."""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from itertools import permutations
from pathlib import Path
from typing import Any

from mtjkit_export.files import write_atomically, write_json

from mtjkit_host import paper
from mtjkit_host.analysis.findings import Finding, findings
from mtjkit_host.analysis.plots import draw_all
from mtjkit_host.analysis.summary import Acceptable, Summary, summarize
from mtjkit_host.campaign.runner import CampaignResult
from mtjkit_host.mtj.cell import REFERENCE_RATE, Cell
from mtjkit_host.mtj.command import savings

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.92rem; }
caption { text-align: left; padding: 0.3rem 0; }
th, td { border: 1px solid var(--line); padding: 0.25rem 0.6rem; text-align: right; }
td { white-space: nowrap; }
th { background: var(--soft); } th:first-child, td:first-child, td.text { text-align: left; }
td.text { white-space: normal; min-width: 13rem; }
figure { margin: 1.5rem 0; } figure img { background: #fff; max-width: 100%; border-radius: 4px; }
figcaption, .note { font-size: 0.92rem; }
@media (max-width: 40rem) {
  figure { overflow-x: auto; } figure img { max-width: none; width: max(100%, 30rem); }
}
.warning { border-left: 4px solid #d55e00; padding-left: 0.8rem; }
pre { background: var(--soft); padding: 0.8rem; overflow-x: auto; font-size: 0.82rem; }
"""

_LONG = 40
"""Characters of a cell from which on it is broken into lines."""

_CAPTIONS = {
    "figure-7": "Fig. 7: test accuracy over the error rate of each written bit.",
    "figure-8": "Fig. 8: degradation rate of accuracy, the share of the error-free accuracy that "
    "is lost. Dotted: 3 % and 30 %, the limits of Table 2.",
    "figure-9": "Fig. 9: RRMSE (Eq. 3), from whole faulty passes, so that errors of earlier "
    "layers are included.",
    "figure-10": "Fig. 10: write energy of one MTJ over its error rate (Eq. 2), and the error "
    "rates acceptable in feature maps.",
    "tradeoff": "Accuracy over the modelled write energy of a feature-map bit, for each net: one "
    "pulse for all layers (fixed), other write schemes, and plans with a pulse for each layer. "
    "Solid: a failed write flips the bit; dashed: it leaves the old one.",
}
_OVER_ENERGY = ("figure-10", "tradeoff")
_BANDS = (
    " Points are means over the repeats; bands, from four repeats on, are 95 % intervals of the "
    "mean (Student's t)."
)


def write_report(
    result: CampaignResult,
    cell: Cell | None = None,
    remarks: Sequence[str] = (),
    columns: Mapping[str, Mapping[str, str]] | None = None,
    scheme: str = "fixed",
) -> Path:
    """Evaluate a campaign and write its figures, ``summary.json`` and ``report.html``.

    Args:
        result: of `run_campaign`, complete or not.
        cell: the MTJ cell that energies are of; default the paper's.
        remarks: sentences shown at the top.
        columns: more columns of Table 1: heading -> label of the net -> text.
        scheme: the write scheme that Table 2's energies are of.

    Returns:
        The HTML file, in the campaign's folder.

    Raises:
        ConfigError: a file cannot be written.
    """
    cell = cell or Cell()
    summary = summarize(result, cell, scheme)
    labels = [entry.label for entry in result.campaign.nets]
    figures = draw_all(summary, labels, result.folder, cell)
    found = findings(result, summary)
    state = {"summary": summary.to_json(), "findings": [asdict(finding) for finding in found]}
    state |= {"cell": cell.to_json(), "scheme": scheme}
    write_json(result.folder / "summary.json", state)
    page = _page(result, summary, figures, found, cell, remarks, columns or {}, scheme)
    path = result.folder / "report.html"
    write_atomically(path, page.encode())
    return path


def _page(
    result: CampaignResult,
    summary: Summary,
    figures: dict[str, Path],
    found: list[Finding],
    cell: Cell,
    remarks: Sequence[str],
    columns: Mapping[str, Mapping[str, str]],
    scheme: str = "fixed",
) -> str:
    campaign = result.campaign
    beside = any(entry.paper for entry in campaign.nets)
    title = campaign.title or f"Campaign {campaign.name}"
    nets = "1 net" if len(result.nets) == 1 else f"{len(result.nets)} nets"
    body = [
        f"<h1>{escape(title)}</h1>",
        _paragraph(
            f"Error tolerance of quantized networks on MTJ memory: {nets}, "
            f"{len(campaign.rates)} error rates, {campaign.repeats} repeats, "
            f"{campaign.images} images, seed {campaign.seed}."
            + (f" Beside our values stand those of {paper.CITATION}." if beside else "")
        ),
        *(f'<p class="warning">{escape(text)}</p>' for text in [*_warnings(result), *remarks]),
        *(["<h2>The paper's findings, with our numbers</h2>", _findings(found)] if beside else []),
        f"<h2>{'Table 1: test accuracy' if beside else 'Accuracy without errors'}</h2>",
        _table_1(result, summary, columns),
        "<h2>Error tolerance</h2>",
        *(
            _figure(name, path, beside)
            for name, path in figures.items()
            if name not in _OVER_ENERGY
        ),
        f"<h2>{'Table 2: a' if beside else 'A'}cceptable error rates and write energy</h2>",
        _table_2(summary, "feature_maps", beside),
        *([_why(result, summary)] if beside else []),
        _paragraph(
            "Acceptable rate: where the mean degradation, made monotone (pool adjacent violators), "
            "reaches the limit, interpolated linearly over log(rate). In brackets its 95 % "
            "bootstrap interval over the repeats; an end outside the measured rates is shown as …. "
            f"Energies are modelled: E = V I t with {cell.describe()}, scheme {scheme}, where half "
            "of the bits toggle; savings are against a fixed pulse at the reference write-error "
            f"rate of {REFERENCE_RATE:g} ({cell.reference_energy_pj:.3f} pJ)."
        ),
        *(_figure(name, path, beside) for name, path in figures.items() if name == "figure-10"),
        *_energies(result, summary, figures),
        "<h2>The same for the weights</h2>",
        _table_2(summary, "weights"),
        _layers(summary),
        "<h2>Requested and achieved error rates</h2>",
        _rates(result),
        "<h2>Configuration</h2>",
        _nets(result),
        f"<pre>{escape(campaign.text or json.dumps(asdict(campaign), indent=1))}</pre>",
        f"<pre>{escape(json.dumps(result.environment, indent=1))}</pre>",
        _paragraph(
            "Every point has a seed of its own, the first 64 bits of the SHA-256 of all that "
            "defines the point; results.jsonl beside this page holds each point with its seed."
        ),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>"
        + "\n".join(body)
        + "</body></html>\n"
    )


def _warnings(result: CampaignResult) -> list[str]:
    texts = [f"{label} is not here: {why}." for label, why in result.missing.items()]
    if not result.complete:
        texts.append(
            f"Only {len(result.records)} of {result.points} points are done; the same command "
            "goes on with the rest."
        )
    return texts


def _paragraph(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    cells = "".join(f"<th>{escape(text)}</th>" for text in head)
    lines = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in rows)
    text = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="scroll"><table>{text}<tr>{cells}</tr>\n{lines}</table></div>'


def _cell(text: str) -> str:
    kind = ' class="text"' if len(text) > _LONG else ""
    return f"<td{kind}>{escape(text)}</td>"


def _figure(name: str, path: Path, beside: bool = False) -> str:
    """A figure; `beside` the paper's it has the paper's number."""
    caption = _CAPTIONS[name] + ("" if name in _OVER_ENERGY else _BANDS)
    if not beside and caption.startswith("Fig. "):
        caption = caption.partition(": ")[2].replace(", the limits of Table 2", "")
        caption = caption[0].upper() + caption[1:]
    data = base64.b64encode(path.read_bytes()).decode()
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _findings(found: list[Finding]) -> str:
    verdict = {True: "holds", False: "does not hold", None: "cannot be said"}
    items = [
        f"<li>{escape(f.statement)} <strong>Here it {verdict[f.holds]}.</strong> "
        f"{escape(f.evidence)}</li>"
        for f in found
    ]
    return f"<ul>{''.join(items)}</ul>"


def _table_1(
    result: CampaignResult, summary: Summary, columns: Mapping[str, Mapping[str, str]]
) -> str:
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
    return _table(head, rows, f"Error-free, on {result.campaign.images} images.")


def _of_paper(net: Mapping[str, Any], paper_net: str) -> str:
    """How a net's number of weights compares with the paper's: ``as many as`` or ``1/16 of``."""
    share = net["weight_bits"] / net["bits"] / paper.weights(paper_net)
    return "as many as" if share == 1 else f"1/{1 / share:.3g} of"


def _why(result: CampaignResult, summary: Summary) -> str:
    """What makes our values differ from the paper's, with what the results say about it."""
    entries = [e for e in result.campaign.nets if e.paper and e.label in result.nets]
    weights = {
        e.label: result.nets[e.label]["weight_bits"] / result.nets[e.label]["bits"] for e in entries
    }
    smaller = [e.label for e in entries if weights[e.label] < paper.weights(e.paper)]
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
        if a.paper == b.paper and weights[a.label] > weights[b.label]:
            lead, memory, other = "How much, two nets here show", "feature_maps", b.label
        elif a.paper == b.paper and weights[a.label] == weights[b.label] and b.note and not a.note:
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
    return _paragraph(text)


def _accepted(summary: Summary) -> Mapping[tuple[str, str], list[str]]:
    """(net, memory) -> the rates that were found for flipped bits, as text."""
    rates = defaultdict(list)
    for entry in summary.acceptable:
        if entry.errors == "flip" and not entry.found.bound:
            rates[entry.net, entry.memory].append(f"{100 * entry.found.edge:.3g} %")
    return rates


def _table_2(summary: Summary, memory: str, beside: bool = False) -> str:
    """Acceptable rates in a memory; `beside` the paper's in feature maps."""
    rows = [
        [
            entry.net,
            {"flip": "bit flipped", "keep": "old value kept"}[entry.errors],
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
    if not rows:
        return _paragraph("Not measured.")
    head = ["net", "an error", "degradation", "acceptable rate (%)", "energy (pJ)", "saving (%)"]
    if memory == "feature_maps" and beside:
        head += ["paper: rate (%)", "energy (pJ)", "saving (%)", "in our interval"]
    else:
        rows = [row[:6] for row in rows]
    return _table(head, rows)


def _energies(result: CampaignResult, summary: Summary, figures: Mapping[str, Path]) -> list[str]:
    """Pulses, plans and schemes on one axis: figure and table; and how far a saving depends."""
    if not summary.tradeoffs:
        return []
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
                {"flip": "bit flipped", "keep": "old value kept"}[line.errors],
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
    dependence = savings()
    table = [[_plain_text(cell) for cell in row] for row in zip(
        *(column.cells for column in dependence.columns), strict=True
    )]  # fmt: skip
    return [
        "<h2>One pulse, plans and write schemes</h2>",
        *(_figure(name, path) for name, path in figures.items() if name == "tradeoff"),
        _table(head, rows, caption) if rows else _paragraph("No rate within the limit."),
        "<h2>What a saving depends on</h2>",
        _table(
            [str(column.header) for column in dependence.columns],
            table,
            "Write energy saved at an error rate of 2.4 %: cell, population, baseline, scheme.",
        ),
    ]


def _plain_text(cell: Any) -> str:
    return getattr(cell, "plain", str(cell))


def _agreement(entry: Acceptable) -> str:
    """Whether the paper's rate lies in our interval."""
    low, high = entry.found.low, entry.found.high
    if entry.paper is None or low is None or high is None:
        return ""
    return "yes" if low <= entry.paper.rate <= high else "no"


def _layers(summary: Summary) -> str:
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
    if not rows:
        return ""
    width = max(len(row) for row in rows)
    rows = [row + [""] * (width - len(row)) for row in rows]
    head = ["net", "errors in", "rate (%)", "RRMSE", *(f"layer {i}" for i in range(width - 4))]
    caption = "sqrt(var(delta) / var(x)) of each layer's input; layer 0's is the image."
    return "<h2>RRMSE by layer</h2>" + _table(head, rows, caption)


def _rates(result: CampaignResult) -> str:
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
        row = [net, memory.replace("_", " "), errors, f"{rate:g}", f"{wrong / written:.6g}"]
        rows.append([*row, f"{written:,}", f"{wrong:,}", str(points)])
    head = ["net", "memory", "errors", "requested", "achieved", "bits written", "wrong", "points"]
    return f"<details><summary>{len(rows)} rows</summary>{_table(head, rows)}</details>"


def _nets(result: CampaignResult) -> str:
    rows = []
    for label, net in result.nets.items():
        sizes = [f"{net['weight_bits']:,}", f"{net['map_bits']:,}"]
        rows.append([label, Path(net["file"]).name, net["sha256"][:16], *sizes, net["arithmetic"]])
    head = ["net", "file", "SHA-256", "weight bits", "feature-map bits an image", "arithmetic"]
    return _table(head, rows)
