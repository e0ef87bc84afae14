"""The report's program: its figures in Vega-Lite, and its numbers in a real browser."""

import csv
import importlib.util
import io
import json
import math
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="needs the extra report")
pytest.importorskip("vl_convert", reason="needs the extra report")

from mtjkit_host.analysis import page as page_module
from mtjkit_host.analysis import summarize
from mtjkit_host.analysis.content import LIMITS, content
from mtjkit_host.analysis.statistics import acceptable_rate
from mtjkit_host.analysis.vega import VEGA_LITE, vega_script
from mtjkit_host.mtj.cell import Cell, flat_cell
from mtjkit_host.mtj.cell_file import load_cell
from mtjkit_host.mtj.scheme import Traffic
from mtjkit_host.mtj.schemes import parse_scheme, saving_percent
from support.known_results import made_up

FIGURES = json.loads(Path(page_module.__file__).with_name("report_figures.json").read_text())
DRAG = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_vega_lite(name):
    import vl_convert

    assert vl_convert.vegalite_to_vega(FIGURES[name], vl_version=VEGA_LITE)["marks"]


def test_every_loss_of_the_slider_has_what_python_finds(tmp_path):
    result = made_up(tmp_path)
    summary = summarize(result)
    for shown in content(result, summary, Cell(), "fixed")["curves"]:
        rows = {
            entry.found.limit: entry.found
            for entry in summary.acceptable
            if (entry.net, entry.memory) == (shown["net"], shown["memory"])
        }
        assert len(rows) == 2
        for limit, found in rows.items():
            ends = [found.rate, found.low, found.high, found.bound]
            assert shown["accept"][LIMITS.index(limit)] == ends


def test_a_cell_that_is_not_eq_2_comes_as_a_table(tmp_path):
    result = made_up(tmp_path)
    summary = summarize(result)
    assert content(result, summary, load_cell("asano2024"), "fixed")["table"] is None
    cell, scheme, traffic = load_cell("asano2024-voltage"), parse_scheme("word"), Traffic.even()
    table = content(result, summary, cell, "word")["table"]
    rows = {rate: (ns, pj) for rate, ns, pj in table["rows"]}
    pulses = scheme.pulses_for(cell, 0.01, traffic)
    assert rows[0.01] == (
        pulses.longest_ns,
        scheme.write(cell, pulses, traffic).per_bit_pj(traffic),
    )


@contextmanager
def browser():
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,1000"):
        options.add_argument(flag)
    options.binary_location = shutil.which("chromium")
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options=options, service=service) as found:
        found.set_page_load_timeout(300)
        yield found


def drawn(browser):
    """Wait until the page has drawn all that it was asked for."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        told = browser.execute_script("return {...document.body.dataset}")
        if told.get("asked") and told.get("asked") == told.get("drawn"):
            return
        time.sleep(0.1)
    raise AssertionError(f"the page does not draw: {told}, {browser.get_log('browser')}")


def written(folder, cell, scheme):
    """The page of made-up results, without the figures for print."""
    result = made_up(folder, repeats=5)
    summary = summarize(result, cell, scheme)
    text = page_module.render(result, summary, {}, cell, scheme=scheme, vega=vega_script())
    (folder / "report.html").write_text(text, encoding="utf-8")
    return summary, (folder / "report.html").as_uri()


def expected(summary, curve, limit):
    """The acceptable rate of a curve and its interval."""
    [found] = [c for c in summary.accuracy if (c.net, c.memory) == (curve["net"], curve["memory"])]
    lost = [[1 - v / summary.error_free[found.net] for v in level.values] for level in found.levels]
    rates = acceptable_rate([level.rate for level in found.levels], lost, limit)
    return [rates.rate, rates.low, rates.high]


needs_browser = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver"))
    or importlib.util.find_spec("selenium") is None,
    reason="no Chromium with its driver, or no selenium",
)


@pytest.mark.slow
@needs_browser
def test_the_page_answers_as_python_does(tmp_path):
    summary, address = written(tmp_path, Cell(), "fixed")
    with browser() as b:
        b.get(address)
        drawn(b)
        cells = [(Cell(), LIMITS.index(0.03)), (flat_cell(tau_ns=5, current_ua=80), 40)]
        for cell, step in cells:
            for name, value in (*cell.settings.items(), ("loss", step)):
                b.execute_script(DRAG, b.find_element("id", name), value)
            drawn(b)
            rows = b.execute_script("return shown.answers.rows")
            assert len(rows) == 4
            for row in rows:
                rate, low, high = expected(summary, row, LIMITS[step])
                near = pytest.approx(rate, rel=1e-12)
                assert row["rate"] == near
                for end, way in ((rate, ""), (low, "_high"), (high, "_low")):
                    width = cell.pulse_width_ns(end)
                    assert row[f"pulse_ns{way}"] == pytest.approx(width, rel=1e-12)
                    energy = cell.write_energy_pj(width)
                    assert row[f"energy_pj{way}"] == pytest.approx(energy, rel=1e-12)
                saving = cell.saving_percent(cell.pulse_width_ns(rate))
                assert row["saving_percent"] == pytest.approx(saving, rel=1e-12)
                assert row["saving_low"] == pytest.approx(
                    cell.saving_percent(cell.pulse_width_ns(low)), rel=1e-12
                )
            text = b.find_element("id", "answers").text
            assert f"{cell.pulse_width_ns(expected(summary, rows[0], LIMITS[step])[0]):.4g}" in text
        rows = list(
            csv.DictReader(io.StringIO(b.execute_script("return csv(shown.accuracy.data.rows)")))
        )
        assert {row["net"] for row in rows} == {"Binary", "Fxp8 & co"}
        for row in rows:
            assert float(row["ns"]) == pytest.approx(cell.pulse_width_ns(float(row["rate"]) / 100))
        assert b.execute_async_script("svg('accuracy').then(arguments[0])").startswith("<svg")
        assert b.execute_script("return performance.getEntriesByType('resource').length") == 0
        assert not [e for e in b.get_log("browser") if e["level"] == "SEVERE"]
        b.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True},
        )
        assert b.execute_script("return document.documentElement.scrollWidth") == 390


@pytest.mark.slow
@needs_browser
def test_the_page_answers_for_any_cell_and_scheme(tmp_path):
    cell, scheme, traffic = (
        load_cell("asano2024-voltage"),
        parse_scheme("terminated"),
        Traffic.even(),
    )
    summary, address = written(tmp_path, cell, "terminated")
    with browser() as b:
        b.get(address)
        drawn(b)
        for row in b.execute_script("return shown.answers.rows"):
            rate, _, _ = expected(summary, row, 0.03)
            pulses = scheme.pulses_for(cell, rate, traffic)
            energy = scheme.write(cell, pulses, traffic).per_bit_pj(traffic)
            # Interpolated between rates that are 12 % apart.
            assert row["pulse_ns"] == pytest.approx(pulses.longest_ns, rel=1e-4)
            assert row["energy_pj"] == pytest.approx(energy, rel=1e-4)
            saving = saving_percent(cell, scheme, pulses, traffic)
            assert row["saving_percent"] == pytest.approx(saving, rel=1e-4)
            assert math.isfinite(row["saving_low"])
