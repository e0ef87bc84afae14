"""The pages: their links lead somewhere, their commands and options exist, their Python runs."""

import ast
import io
import re
import runpy
import shlex
import subprocess
import sys

import pytest
from mtjkit_host.cli import namespace
from mtjkit_host.cli.command import ALIASES
from mtjkit_host.paths import CARRIED_IMAGES, CARRIED_MODEL
from mtjkit_host.runs.parse_options import parse_options
from mtjkit_host.runs.result import tables
from mtjkit_host.runs.run import run_twin
from rich.console import Console
from support.commands import finished, invoke
from support.micropython import run_micropython
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
        known = {name for a in TASKS[task].get_arguments() for name in a.names}
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
    assert tuple(shown[::-1]) == floors


def test_the_names_in_texts_exist():
    """A text that says `mtjkit_host.mtj.cell.Cell`: the module is there and has the word."""
    modules = runpy.run_path(str(TESTS / "host" / "test_corridors.py"))["MODULES"]

    def exists(name):
        parts = name.split(".")
        known = [k for k in range(1, len(parts) + 1) if ".".join(parts[:k]) in modules]
        text = modules[".".join(parts[: known[-1]])].read_text()
        return all(re.search(rf"\b{part}\b", text) for part in parts[known[-1] :])

    wrong = []
    for path in [*PAGES, *modules.values(), *(ROOT / "firmware").rglob("*.[ch]")]:
        found = re.findall(
            r"\bmtjkit_(?:core|device|export|host)(?:\.[A-Za-z]\w*)+", path.read_text()
        )
        wrong += [f"{name_of(path)}: {name}" for name in {*found} if not exists(name)]
    assert not wrong


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


@pytest.mark.usefixtures("micropython")
def test_an_own_main_py_classifies_as_the_twin_does(tmp_path):
    page = (ROOT / "docs" / "board-by-board.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    record = CARRIED_IMAGES.read_bytes()[1:3073]
    planes = [record[k : k + 1024] for k in (0, 1024, 2048)]
    pixels = bytes(value for pixel in zip(*planes, strict=True) for value in pixel)
    (tmp_path / "pixels").write_bytes(pixels)
    code = code.replace("net.mtjb", str(CARRIED_MODEL))
    script = tmp_path / "main.py"
    script.write_text(f"{code}\nprint(classify(open('{tmp_path}/pixels', 'rb').read()))\n")
    options = parse_options(images=1, write_error_rate=0.024)
    [found] = run_twin(options).predictions
    names = run_twin(options).model.class_names
    assert run_micropython(script) == names[found] + "\n"


def test_slurm_is_given_workers_of_one_thread():
    slurm = pytest.importorskip("dask_jobqueue.slurm", reason="needs dask-jobqueue")
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "docs/cluster.md").read_text(), re.DOTALL)
    [call] = re.findall(r"SLURMCluster\(.*?\)", code, re.DOTALL)
    keywords = ast.parse(call).body[0].value.keywords
    options = {one.arg: ast.literal_eval(one.value) for one in keywords}
    script = slurm.SLURMJob("tcp://node0:8786", "worker", **options).job_script()
    words = script.split()
    asked = {"-p": "cpu", "-t": "04:00:00", "--interface": "ib0"}
    for option, value in {**asked, "--nworkers": "32", "--nthreads": "1"}.items():
        assert words[words.index(option) + 1] == value, script
    assert "--cpus-per-task=32" in words
    assert "tcp://node0:8786" in words


@pytest.mark.program
def test_the_site_has_every_page_and_no_dead_link(tmp_path):
    pytest.importorskip("material", reason="needs the extra docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    commands = (tmp_path / "reference" / "commands.html").read_text()
    for name in TASKS:
        assert f'id="{name}"' in commands, name
    assert "--pulse-ns=NS" in commands
    assert "None" not in commands
    assert "run_twin" in (tmp_path / "reference" / "python.html").read_text()
    for page in tmp_path.rglob("*.html"):
        tags = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page.read_text())
        fetched = [tag for tag in tags if "//" in tag and "canonical" not in tag]
        assert not fetched, (page, "a page that is read offline")


@pytest.mark.slow
def test_the_tutorial_of_a_cell_runs(tmp_path):
    page = (ROOT / "docs" / "tutorial-own-cell.md").read_text()
    for kind, name in (("csv", "measured.csv"), ("toml", "study.toml")):
        [text] = re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)
        (tmp_path / name).write_text(text)
    lines = re.findall(r"^\$ \./inv (.*)$", page, re.MULTILINE)
    said = [finished(invoke(*shlex.split(line), cwd=tmp_path)) for line in lines]
    assert "9.2897 ns" in said[0]
    assert "34.65 ns" in said[1]
    assert "report: build/campaigns/my-cell/report.html" in said[-1]
    assert len(said) == 6


def test_the_first_page_shows_what_a_run_prints():
    shown = re.findall(r"^│ ([a-z].*?) +│", (ROOT / "docs" / "start.md").read_text(), re.MULTILINE)
    console = Console(file=io.StringIO(), width=80)
    console.print(*tables(run_twin(parse_options(images=2))))
    printed = re.findall(r"^│ ([a-z].*?) +│", console.file.getvalue(), re.MULTILINE)
    assert [row for row in shown if row != "heap in use, foreseen"] == printed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["own-cell", "own-net"])
def test_the_notebooks_run(tmp_path, name):
    nbformat = pytest.importorskip("nbformat", reason="needs the extra notebooks")
    nbclient = pytest.importorskip("nbclient", reason="needs the extra notebooks")
    path = ROOT / "docs" / "notebooks" / f"{name}.ipynb"
    assert path.stat().st_size < 20_000
    notebook = nbformat.read(path, 4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    done = nbclient.NotebookClient(notebook, resources={"metadata": {"path": tmp_path}}).execute()
    said = "".join(out.get("text", "") for cell in done.cells for out in cell.get("outputs", ()))
    expected = {"own-cell": "tau = 9.29 ns", "own-net": "of 100 right"}
    assert expected[name] in said
