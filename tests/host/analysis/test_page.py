"""Figures and the report, from results whose numbers are known."""

import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="needs the extra report")
pytest.importorskip("vl_convert", reason="needs the extra report")

from mtjkit_host.analysis import page, plots, print_tables, summarize, write_report
from mtjkit_host.analysis.findings import findings
from mtjkit_host.analysis.sections import TextTable
from mtjkit_host.campaign.description import MEMORIES
from mtjkit_host.campaign.runner import CampaignResult
from mtjkit_host.figures import own_settings
from mtjkit_host.mtj.cell import Cell
from rich.console import Console
from support.known_results import EVIL, made_up
from support.paths import python_env


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return made_up(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def report(result):
    return write_report(result)


def text_of(result):
    """The page without its figures, which take seconds."""
    return page.render(result, summarize(result), {}, Cell())


def figure_7(result):
    """Fig. 7 of a campaign, not saved."""
    labels = [entry.label for entry in result.campaign.nets]
    curves = summarize(result).accuracy
    return plots.curves_figure(
        curves, labels, lambda c: [level.value for level in c.levels], "", 1, ()
    )


class Page(HTMLParser):
    """Tags that stay open, what is fetched, programs, and the text of a page."""

    def __init__(self, text):
        super().__init__()
        self.open, self.sources, self.words, self.tags, self.programs = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.programs if self.open[-1:] == ["script"] else self.words).append(data)


@pytest.mark.program
def test_the_page_needs_nothing_else_and_shows_everything(result, report):
    shown = Page(report.read_text(encoding="utf-8"))
    assert shown.open == []
    assert shown.tags.count("script") == len(shown.programs) == 2  # Vega and the page's own
    assert not any(EVIL in program for program in shown.programs)
    assert "default-src 'none'; img-src data: blob:;" in unescape(report.read_text())[:500]
    assert "connect-src 'none'" in unescape(report.read_text())[:500]
    assert len(shown.sources) == 4  # Figs. 7, 8, 9, 10
    assert all(source.startswith("data:image/svg+xml;base64,") for source in shown.sources)
    text = " ".join(shown.words)
    assert "@import" not in text
    assert "url(" not in text
    for expected in (EVIL, "Fxp8 & co", "85.07", "8.94", "no c in", "seed 0"):
        assert expected in text, expected
    assert re.search(r"Only \d+ of \d+ points are done", text)
    for name in ("figure-7", "figure-8", "figure-9", "figure-10", "tradeoff"):
        assert (result.folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in (result.folder / f"{name}.svg").read_bytes()
    state = json.loads((result.folder / "summary.json").read_text())
    assert state["summary"]["error_free"] == {"Binary": 0.8, "Fxp8 & co": 0.8}


@pytest.mark.program
def test_the_same_results_give_the_same_figures(report, tmp_path):
    result = made_up(tmp_path)
    labels = [entry.label for entry in result.campaign.nets]
    figure = plots.energy_figure(summarize(result), labels, Cell())
    with own_settings():
        again = plots.save(figure, tmp_path / "figure-10")
    for kind in (".svg", ".png"):
        one, two = (path.with_name(f"figure-10{kind}").read_bytes() for path in (report, again))
        assert one == two


def test_the_same_results_give_the_same_page(result):
    summary = summarize(result)
    one, two = (page.render(result, summary, {}, Cell(), vega="/* vega */") for _ in range(2))
    assert one == two
    assert len(one) < 90_000


def test_sixteen_nets_have_colours_of_their_own(result):
    labels = [f"net {n}" for n in range(16)]
    styles = [plots._style(label, labels) for label in labels]
    assert len({style["color"] for style in styles}) == 16
    assert all(a["marker"] != b["marker"] for a, b in zip(styles, styles[8:], strict=False))
    text = page.render(result, summarize(result), {}, Cell(), vega="/* vega */")
    shown = json.loads(re.search(r"const COLOURS = (\[.*?\]);", text)[1])
    assert len(set(shown)) == 16
    assert not {"#000000", "#F0E442"} & set(shown)


def test_the_legend_names_a_net_that_is_in_one_panel_only(result):
    curves = [
        c for c in summarize(result).accuracy if (c.net, c.memory) != ("Fxp8 & co", "feature_maps")
    ]
    figure = plots.curves_figure(
        curves, ["Binary", "Fxp8 & co"], lambda c: [level.value for level in c.levels], "", 1, ()
    )
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Binary", "Fxp8 & co"]


def test_wide_intervals_do_not_flatten_the_curves(result):
    def wide(curve):
        return [replace(level.value, half_width=9.0) for level in curve.levels]

    figure = plots.curves_figure(
        summarize(result).accuracy, ["Binary", "Fxp8 & co"], wide, "", 1, ()
    )
    assert 0.8 < figure.axes[0].get_ylim()[1] < 0.9


def test_acceptable_rates_carry_the_energy_of_the_cell(result):
    cell = Cell()
    table = {
        (entry.net, entry.memory, entry.found.limit): entry
        for entry in summarize(result).acceptable
    }
    assert len(table) == 8
    # Binary: 0.005, 0.05, 0.5 at 1e-3, 1e-2, 1e-1: 0.03 and 0.3 by lines over log10(rate).
    entry = table["Binary", "feature_maps", 0.03]
    assert entry.found.rate == pytest.approx(1e-3 * 10 ** (0.025 / 0.045))
    assert entry.energy_pj == cell.write_energy_pj(cell.pulse_width_ns(entry.found.rate))
    assert entry.saving_percent == pytest.approx(100 * (1 - entry.energy_pj / 44.165), abs=1e-3)
    assert entry.paper.rate == 0.024
    assert table["Binary", "feature_maps", 0.3].found.rate == pytest.approx(
        1e-2 * 10 ** (0.25 / 0.45)
    )
    assert table["Binary", "weights", 0.3].paper is None
    assert table["Fxp8 & co", "feature_maps", 0.3].paper.rate == 0.082


def test_findings_follow_from_the_numbers(result):
    found = findings(result, summarize(result))
    assert [finding.holds for finding in found] == [True, False, True, True, False]
    assert "Fxp8" in found[3].evidence


@pytest.mark.parametrize(
    ("tolerances", "holds"), [((0.2, 0.15), True), ((0.2, 0.002), False), ((0.003, 0.002), None)]
)
def test_nets_below_the_measured_rates_count_as_degrading(tmp_path, tolerances, holds):
    result = made_up(tmp_path, tolerances=tolerances)
    alike = findings(result, summarize(result))[1]
    assert alike.holds is holds
    assert ("<0.10 %" in alike.evidence) is (holds is not True)


def test_what_width_does_is_shown_by_nets_that_differ_in_it(tmp_path):
    result = made_up(tmp_path)
    alone = "How much, two nets here show"
    assert alone not in text_of(result)
    nets = tuple(replace(entry, paper="Binary") for entry in result.campaign.nets)
    both = replace(result, campaign=replace(result.campaign, nets=nets))
    text = text_of(both)
    # 0.5, 5, 50 % are lost at the first three rates, 1, 10, 90 % by the other; log-interpolated.
    assert f"{alone}: in feature maps Binary accepts 0.359 % and 3.59 % at 3 %" in text
    assert "degradation, Fxp8 &amp; co 0.167 % and 1.78 %." in text


def test_what_a_net_s_note_says_is_held_against_its_twin_without(tmp_path):
    result = made_up(tmp_path)
    first, second, _ = result.campaign.nets
    nets = (replace(first, note=""), replace(second, paper="", note="scaled"))
    text = text_of(
        replace(
            result,
            campaign=replace(result.campaign, nets=nets),
            nets=dict.fromkeys(result.nets, result.nets["Binary"]),
            missing={},
        )
    )
    assert "Nets of one size differ too: in weights Binary accepts 0.167 % and 1.78 % at" in text
    assert "degradation, Fxp8 &amp; co (scaled) " in text


@pytest.mark.parametrize("memory", MEMORIES)
def test_one_memory_alone_has_a_report(tmp_path, memory):
    result = made_up(tmp_path)
    records = tuple(r for r in result.records if r.point.memory in ("none", memory))
    result = replace(result, records=records)
    text = text_of(result)
    assert ">Not measured.<" not in text
    assert len(re.findall("<h2>.*rates.*write energy</h2>", text)) == 1
    assert "The same for the weights" not in text
    assert len(figure_7(result).axes) == 1


def test_errors_in_weights_alone_have_all_figures(tmp_path):
    result = made_up(tmp_path)
    records = tuple(r for r in result.records if r.point.memory in ("none", "weights"))
    summary = summarize(replace(result, records=records))
    figures = dict(plots.figures(summary, ["Binary", "Fxp8 & co"], Cell()))
    assert [*figures] == ["figure-7", "figure-8", "figure-9", "figure-10"]
    assert [len(figure.axes) for figure in figures.values()] == [1, 1, 1, 2]


def test_one_repeat_has_no_intervals(tmp_path):
    result = made_up(tmp_path, repeats=1)
    summary = summarize(result)
    assert all(level.value.half_width is None for c in summary.accuracy for level in c.levels)
    assert all(entry.found.low is None for entry in summary.acceptable)
    assert text_of(result)
    assert len(figure_7(result).axes) == 2
    assert len(plots.energy_figure(summary, ["Binary", "Fxp8 & co"], Cell()).axes) == 2


def test_nothing_measured_is_said(tmp_path):
    whole = made_up(tmp_path)
    empty = CampaignResult(
        whole.campaign, tmp_path, (), 9, whole.nets, whole.missing, whole.environment
    )
    text = write_report(empty).read_text(encoding="utf-8")
    assert "cannot be said" in text
    assert "<img" not in text


def test_a_column_of_words_begins_at_the_left():
    rows = [["net", "1.5", "why it differs", "", "9 weights"], ["other", "", "5", "< 3", "8 more"]]
    assert TextTable(["a", "b", "c", "d", "e"], rows).texts == {0, 2, 4}


def test_tables_on_a_terminal(result, capsys):
    print_tables(result, console=Console(width=80))
    out = capsys.readouterr().out
    [lines] = re.findall("(.*)^ +pJ for a bit, modelled", out, re.M | re.S)
    assert "…" not in lines  # every column has room
    assert re.search("│ Binary +│ +3 % │", lines)
    assert re.search("│ Fxp8 & co +│ +3 % │", lines)
    assert "85.07" in out
    assert "missing: Gone: no c in" in out
    assert "1 of" in out


def test_a_missing_package_is_named_before_the_work(monkeypatch):
    assert page.missing_package() == ""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert page.missing_package().startswith("the report: matplotlib is missing: pip install ")


@pytest.mark.program
def test_a_label_is_shown_as_it_is(tmp_path):
    label = r"_5$$ net $\frac$ [/b] [ours] :fire:"
    whole = made_up(tmp_path)
    nets = tuple(
        replace(net, label=label) if net.label == "Binary" else net for net in whole.campaign.nets
    )
    records = tuple(
        replace(r, point=replace(r.point, net=label)) if r.point.net == "Binary" else r
        for r in whole.records
    )
    loaded = {label if name == "Binary" else name: net for name, net in whole.nets.items()}
    result = replace(
        whole, campaign=replace(whole.campaign, nets=nets), records=records, nets=loaded
    )
    assert escape(label) in text_of(result)
    with own_settings():
        plots.save(figure_7(result), tmp_path / "figure-7")
    # Text of an SVG is outlines, each after a comment that holds the text.
    comments = re.findall("<!-- (.*?) -->", (tmp_path / "figure-7.svg").read_text())
    assert label in [unescape(text).strip() for text in comments]
    console = Console(width=200, file=io.StringIO())
    print_tables(result, console=console)
    assert label in console.file.getvalue()


@pytest.mark.program
def test_the_users_matplotlib_changes_nothing(report, tmp_path):
    """A notebook's backend that is not there, and a matplotlibrc that asks for LaTeX."""
    code = (
        "from dataclasses import replace; from pathlib import Path; import test_page as t\n"
        "one = replace(t.summarize(t.made_up(Path('out'))), accuracy=(), rrmse=(), tradeoffs=())\n"
        "t.plots.draw_all(one, ['Binary', 'Fxp8 & co'], Path('out'), t.Cell())\n"
        "from mtjkit_host.train import plot; from mtjkit_host.train.config import EpochRecord\n"
        "plot.plot_history([EpochRecord(1, 0.0, 1.0, 0.5, 0.5, 1.0)], Path('history'), 'net')\n"
    )
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nlines.linewidth: 9\n")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**python_env(Path(__file__).parent), "MPLBACKEND": "module://no_such.backend"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in ("figure-10.svg", "figure-10.png"):
        assert (tmp_path / "out" / name).read_bytes() == report.with_name(name).read_bytes()
