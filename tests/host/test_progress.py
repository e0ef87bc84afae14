"""Progress bars, as a terminal shows them."""

import io

import pytest
from mtjkit_host import progress
from rich.console import Console


@pytest.fixture
def shown(monkeypatch):
    """A function that gives the lines of a bar, without colours, as they are now."""
    terminal = io.StringIO()
    monkeypatch.setattr(progress.sys, "stderr", terminal)
    terminal.isatty = lambda: True

    def lines(bar):
        console = Console(file=io.StringIO(), width=80)
        console.print(bar.get_renderable())
        return [line.strip() for line in console.file.getvalue().splitlines()]

    return lines


def test_a_work_of_several_steps_shows_the_one_under_way(shown):
    with progress.bar() as bar:
        step = progress.Steps("pico", bar)
        step("connecting")
        [line] = shown(bar)
        assert line.startswith("pico: connecting ━")
        assert line.endswith("━")  # nobody knows how long
        step("model", 0, 110_592)
        step("model", 55_000, 110_592)
        [line] = shown(bar)
        assert line.startswith("pico: model ━")
        assert "55.0 kB of 110.6 kB" in line
        step("model arrives, first image")
        step("", 3, 20, "images")
        [line] = shown(bar)
        assert line.startswith("pico ━")
        assert " 3/20" in line


@pytest.mark.parametrize("kind", ["speed", "time", "plain"])
def test_a_finished_bar_fits_80_columns(kind, shown):
    with progress.bar(kind) as bar:
        bar.add_task("campaign reproduce-quick", total=250_000, completed=250_000, unit="images")
        [line] = shown(bar)
        assert "campaign reproduce-quick" in line
        assert len(line) <= 80
