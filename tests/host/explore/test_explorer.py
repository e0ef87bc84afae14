"""The explorer in a real browser: its numbers are the simulator's, before and after a drag."""

import importlib.util
import json
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import FLIP, KEEP, WriteErrors
from mtjkit_export.formats.mtjb_reader import load
from mtjkit_export.formats.mtjb_writer import encode
from mtjkit_export.predictions import predictions
from mtjkit_host.datasets.images import load_images
from mtjkit_host.explore import wasm
from mtjkit_host.explore.command import run_explore
from mtjkit_host.paths import CARRIED_IMAGES, CARRIED_MODEL
from mtjkit_host.simulate.simulator import open_simulator
from support.nets import tiny_network

IMAGES = 60
HAS_BROWSER = shutil.which("chromium") and shutil.which("chromedriver")

needs_wasm = pytest.mark.skipif(
    wasm.compiler() is None, reason="no compiler for WebAssembly (pip install ziglang)"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("explore") / "page.html"
    assert str(path) in run_explore(images=IMAGES, output=path)
    return path


def content(path):
    line = next(one for one in path.read_text().splitlines() if one.startswith("const CONTENT"))
    return json.loads(line.removeprefix("const CONTENT = ").removesuffix(";"))


def right(place, kind, seed=0):
    """Pictures that the simulator gets right at a place of the page's first way."""
    net = load(CARRIED_MODEL)
    data = load_images(CARRIED_IMAGES, net, IMAGES)
    errors = WriteErrors(seed, kind, tuple(place["limits"]))
    scores, _ = open_simulator(net).run(data.images, errors=errors)
    return int((predictions(net, scores) == data.labels).sum())


@needs_wasm
def test_each_direction_has_the_pulse_that_the_scheme_gives_it(tmp_path):
    limits = {}
    for scheme in ("fixed", "directions"):
        path = tmp_path / f"{scheme}.html"
        run_explore(images=1, cell="asano2024-voltage", scheme=scheme, output=path)
        limits[scheme] = [row["limits"] for row in content(path)["ways"][0]["pulses"]]
    assert limits["fixed"] != limits["directions"]


def test_a_model_without_labelled_pictures_is_refused(tmp_path):
    np.save(tmp_path / "some.npy", np.zeros((4, 32, 32, 3), np.uint8))
    with pytest.raises(ConfigError, match="the explorer needs labels"):
        run_explore(data=tmp_path / "some.npy", output=tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_without_a_compiler_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(wasm, "compiler", lambda: None)
    with pytest.raises(ConfigError, match=r"pip install .*\[explore\]"):
        run_explore(images=1, output=tmp_path / "page.html")


def test_a_nets_name_and_classes_end_no_script(monkeypatch, tmp_path):
    monkeypatch.setattr("mtjkit_host.explore.page.wasm", lambda: b"")
    names = ["</script><b>", "<!--<script>", "/*PROGRAM*/", "\u2028"]
    net = replace(tiny_network(), name="../../<x>", class_names=[*names, *"abcdef"])
    (tmp_path / "net.mtjb").write_bytes(encode(net))
    shape = Model(encode(net)).input_shape
    np.savez(tmp_path / "mine.npz", x=np.zeros((4, *shape), np.uint8), y=[0, 1, 2, 3])
    monkeypatch.chdir(tmp_path)
    said = run_explore(tmp_path / "net.mtjb", tmp_path / "mine.npz")
    page = tmp_path / "build" / "_..__x_-explorer.html"
    assert said.startswith(str(page.relative_to(tmp_path)))
    text = page.read_text("utf-8")
    assert text.count("</script") == 1
    assert "<!--<" not in text
    assert content(page)["classes"][:4] == names


@pytest.mark.slow
@needs_wasm
@pytest.mark.skipif(
    not HAS_BROWSER or importlib.util.find_spec("selenium") is None,
    reason="no Chromium with its driver, or no selenium",
)
def test_the_page_computes_what_the_simulator_does(page):
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,1000"):
        options.add_argument(flag)
    options.binary_location = shutil.which("chromium")
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options=options, service=service) as browser:
        browser.set_page_load_timeout(300)
        browser.get(page.as_uri())

        def done(key):
            until = time.monotonic() + 300
            while time.monotonic() < until:
                told = browser.find_element(By.TAG_NAME, "body").get_dom_attribute("data-done")
                if told == key:
                    body = browser.find_element(By.TAG_NAME, "body")
                    return int(body.get_dom_attribute("data-right"))
                time.sleep(0.2)
            raise AssertionError(f"{told} instead of {key}")

        pulses = content(page)["ways"][0]["pulses"]
        slider = browser.find_element(By.ID, "pulse")
        first = int(slider.get_property("value"))

        def key(place, kind):
            return json.dumps([0, kind, 0, [place] * 8], separators=(",", ":"))

        assert done(key(first, "flip")) == right(pulses[first], FLIP)
        check = browser.find_element(By.TAG_NAME, "body").get_dom_attribute("data-check")
        assert check == "same"
        drag = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
        browser.execute_script(drag, slider, 110)
        assert done(key(110, "flip")) == right(pulses[110], FLIP)
        Select(browser.find_element(By.ID, "kind")).select_by_value("keep")
        assert done(key(110, "keep")) == right(pulses[110], KEEP)
        wrong = browser.find_elements(By.CSS_SELECTOR, "#pictures button.wrong")
        assert IMAGES - len(wrong) == right(pulses[110], KEEP)
        assert not [e for e in browser.get_log("browser") if e["level"] == "SEVERE"]
