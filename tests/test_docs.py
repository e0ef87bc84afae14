"""The pages: their links lead somewhere, their commands and options exist, their Python runs."""

import re
import runpy
import shlex
import subprocess
import sys
from copy import deepcopy

import pytest
from mtjkit_host.cli import namespace
from mtjkit_host.cli.command import ALIASES
from support.paths import ROOT, TESTS

PAGES = [
    path
    for path in sorted([*ROOT.glob("*.md"), *ROOT.rglob("*/*.md")])
    if not {".venv", "build", ".pytest_cache"} & set(path.relative_to(ROOT).parts)
]
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(
    r"^(?:\$ |    )?(?:\./inv|invoke) ([a-z].*?)(?:\s+#.*|\s+&& .*)?$", re.MULTILINE
)
INLINE = re.compile(r"`(?:\./inv|invoke) ([a-z][^`]*)`")
TASKS = {name: namespace()[name] for name in namespace().task_names}


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def anchors(page):
    """What links may name in a page, as GitHub makes it of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def commands(page):
    """The words of every command of a page."""
    text = page.read_text()
    return [shlex.split(found) for found in (*COMMAND.findall(text), *INLINE.findall(text))]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_options_exist(page):
    for task, *words in commands(page):
        assert task in TASKS, task
        known = {name for a in deepcopy(TASKS[task]).get_arguments() for name in a.names}
        known |= {old for new, old in ALIASES.items() if new in known} | {"help"}
        for word in words:
            if word.startswith("--"):
                assert word[2:].partition("=")[0].replace("-", "_") in {
                    name.replace("-", "_") for name in known
                }, (task, word)


def test_the_architecture_page_has_the_order_of_the_rooms():
    floors = runpy.run_path(str(TESTS / "host" / "test_corridors.py"))["FLOORS"]
    page = (ROOT / "docs" / "architecture.md").read_text()
    drawing = page.partition("## Floors of the host")[2].split("```")[1]
    shown = [line.split()[0] for line in drawing.strip().splitlines()]
    assert shown[::-1] == [room for rooms in floors for room in rooms]


def test_the_tests_that_promises_name_exist():
    page = (ROOT / "docs" / "promises.md").read_text()
    named = re.findall(r"\| `(tests/\S+\.py)` `(test_\w+)` \|", page)
    rows = [line for line in page.splitlines() if line.startswith("| ") and "`test" in line]
    assert len(named) == len(rows) > 30
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(), (file, test)


def test_there_are_commands():
    assert sum(len(commands(page)) for page in PAGES) > 40


def test_the_python_example_runs(micropython):
    text = (ROOT / "docs" / "runs.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "of the write energy saved" in done.stdout
