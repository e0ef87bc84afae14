"""A campaign's report: one HTML file that needs nothing else, and the figures beside it.

``report.html`` is its template, ``report.js`` the program in it and ``report_figures.json`` the
interactive figures in Vega-Lite. Every text from outside is escaped by the template, or shown as
text by the program.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mtjkit_export.files import write_atomically, write_json
from mtjkit_export.needs import missing, needs

from mtjkit_host import paper
from mtjkit_host.analysis import sections
from mtjkit_host.analysis.content import content
from mtjkit_host.analysis.findings import findings
from mtjkit_host.analysis.plots import COLOURS, draw_all
from mtjkit_host.analysis.summary import Summary, summarize
from mtjkit_host.analysis.vega import vega_script
from mtjkit_host.campaign.runner import CampaignResult
from mtjkit_host.mtj.cell import Cell

_HERE = Path(__file__).parent
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
}
_ON_ANY_PAGE = {"#000000": "#888888", "#F0E442": "#B8A900"}
"""What stands for colours that a black or a white page hides."""
_BANDS = (
    " Points are means over the repeats; bands, from four repeats on, are 95 % intervals of the "
    "mean (Student's t). Lines become thinner from the first net to the last, so that none hides "
    "another."
)


def missing_package() -> str:
    """The first package that `write_report` lacks, and how to install it; empty if it has all."""
    for name in ("jinja2", "matplotlib"):
        if find_spec(name) is None:
            return missing(name, "report", "the report")
    return ""


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
        scheme: the write scheme that energies of acceptable rates are of.

    Returns:
        The HTML file, in the campaign's folder.

    Raises:
        ConfigError: a file cannot be written, or a package of the extra ``report`` is missing.
    """
    cell = cell or Cell()
    program = vega_script()
    summary = summarize(result, cell, scheme)
    labels = [entry.label for entry in result.campaign.nets]
    figures = draw_all(summary, labels, result.folder, cell)
    found = [asdict(finding) for finding in findings(result, summary)]
    state = {"summary": summary.to_json(), "findings": found}
    state |= {"cell": cell.to_json(), "scheme": scheme}
    write_json(result.folder / "summary.json", state)
    page = render(result, summary, figures, cell, remarks, columns or {}, scheme, program)
    path = result.folder / "report.html"
    write_atomically(path, page.encode())
    return path


def render(
    result: CampaignResult,
    summary: Summary,
    figures: Mapping[str, Path],
    cell: Cell,
    remarks: Sequence[str] = (),
    columns: Mapping[str, Mapping[str, str]] | None = None,
    scheme: str = "fixed",
    vega: str = "",
    live: bool = False,
) -> str:
    """The page's text.

    Args:
        result, cell, remarks, columns, scheme: see `write_report`.
        summary: of the result.
        figures: name -> SVG file: see `draw_all`.
        vega: see `vega_script`; without it the interactive figures are left out.
        live: whether the page is served while the campaign runs, and asks for news.

    Raises:
        ConfigError: jinja2 is not installed.
    """
    with needs("report", "the report"):
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    campaign = result.campaign
    beside = any(entry.paper for entry in campaign.nets)
    pages = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return pages.get_template("report.html").render(
        title=campaign.title or f"Campaign {campaign.name}",
        campaign=campaign,
        nets="1 net" if len(result.nets) == 1 else f"{len(result.nets)} nets",
        citation=paper.CITATION if beside else "",
        warnings=[*([] if live else sections.warnings(result)), *remarks],
        verdicts=sections.verdicts(findings(result, summary)) if beside else [],
        accuracies=sections.table_1(result, summary, columns or {}),
        in_maps=sections.table_2(summary, "feature_maps", beside),
        in_weights=sections.table_2(summary, "weights"),
        by_layer=sections.by_layer(summary),
        why=sections.why(result, summary) if beside else "",
        energy_note=sections.energy_note(cell, scheme),
        energies=sections.energies(summary) if summary.tradeoffs else None,
        dependence=sections.dependence,  # takes seconds: only where it is shown
        layers=sections.layers(summary),
        rates=sections.rates(result),
        files=sections.nets(result),
        pictures=[
            _picture(name, path, beside) for name, path in figures.items() if name in _CAPTIONS
        ],
        description=campaign.text or json.dumps(asdict(campaign), indent=1),
        environment=json.dumps(result.environment, indent=1),
        long=_LONG,
        live=live,
        vega=_in_script(vega),
        content=content(result, summary, cell, scheme) if vega else {},
        specifications=json.loads((_HERE / "report_figures.json").read_text(encoding="utf-8")),
        colours=[_ON_ANY_PAGE.get(colour, colour) for colour in COLOURS],
        program=_in_script((_HERE / "report.js").read_text(encoding="utf-8")),
    )


def _in_script(text: str) -> str:
    """A program as a page may hold it: "</script" would end it."""
    return text.replace("</script", "<\\/script")


def _picture(name: str, path: Path, beside: bool) -> dict[str, Any]:
    """A figure; `beside` the paper's it has the paper's number."""
    caption = _CAPTIONS[name] + ("" if name == "figure-10" else _BANDS)
    if not beside and caption.startswith("Fig. "):
        caption = caption.partition(": ")[2].replace(", the limits of Table 2", "")
        caption = caption[0].upper() + caption[1:]
    return {"caption": caption, "data": base64.b64encode(path.read_bytes()).decode()}
