"""The commands: two ways to them, what they need, the options with an older name."""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import invoke as invoke_package
import pytest
from invoke.context import Context
from invoke.exceptions import Exit
from mtjkit_host.cli import namespace
from mtjkit_host.cli.command import command
from mtjkit_host.paths import CARRIED_MODEL
from support.commands import OF_ITS_BACKEND, finished, invoke, refused
from support.paths import ROOT, python_env

pytestmark = pytest.mark.program

EMPTY = {"PYTHONPATH": "", "PYTHONSAFEPATH": ""}


@pytest.fixture(scope="module")
def only_invoke(tmp_path_factory):
    """The python of an environment in which nothing but invoke is installed."""
    folder = tmp_path_factory.mktemp("only-invoke")
    venv.create(folder, with_pip=False)
    [packages] = folder.glob("lib/python*/site-packages")
    source = Path(invoke_package.__file__).parent
    shutil.copytree(source, packages / "invoke")
    for info in source.parent.glob("invoke-*.dist-info"):
        shutil.copytree(info, packages / info.name)
    return folder / "bin" / "python"


def run(python, *words, cwd):
    return subprocess.run(
        [python, "-m", "invoke", "--search-root", ROOT, *words],
        cwd=cwd,
        env={**os.environ, **EMPTY},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(os.name != "posix", reason="an environment's folders are others on Windows")
def test_with_invoke_alone_commands_are_listed_and_say_what_to_install(only_invoke, tmp_path):
    listed = finished(run(only_invoke, "--list", cwd=tmp_path))
    for name in ("twin", "run-unix", "export", "flash", "train"):
        assert f"  {name} " in listed
    assert "--write-error-rate" in finished(run(only_invoke, "--help", "twin", cwd=tmp_path))
    for words in (
        *(["twin"], ["run-unix"], ["run", "--port", "x"], ["soak"], ["reproduce"]),
        *(["train", "--data", "x"], ["campaign", "quick", "--data", "x"], ["flash"], ["bench"]),
    ):
        line = refused(run(only_invoke, *words, cwd=tmp_path), " is missing: pip install -e ")
        assert re.search(rf"-e '{ROOT}(\[\w+\])?'$", line), line
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="an environment's folders are others on Windows")
def test_export_without_a_run_needs_invoke_alone(only_invoke, tmp_path):
    said = finished(run(only_invoke, "export", cwd=tmp_path))
    assert "wrote build/binary-small.mtjb: the carried net" in said
    assert "train --net binary-small --data" in said
    written = tmp_path / "build" / "binary-small.mtjb"
    assert written.read_bytes() == CARRIED_MODEL.read_bytes()


def test_export_of_what_only_a_run_has(tmp_path):
    for words in (("--best",), ("--name", "x"), ("--format", "tflite")):
        refused(invoke("export", *words, cwd=tmp_path), "build/train/binary-small: no training run")
    run = tmp_path / "build" / "train" / "fxp8-tiny"
    run.mkdir(parents=True)
    (run / "last.json").touch()
    refused(invoke("export", "--best", cwd=tmp_path), "--run build/train/fxp8-tiny")
    refused(invoke("export", "--run", "nowhere", cwd=tmp_path), "nowhere: no checkpoint")


def test_the_program_has_invokes_commands(tmp_path):
    program = "import sys; from mtjkit_host.cli import main; sys.argv[0] = 'mtjkit'; main()"

    def mtjkit(*words):
        return subprocess.run(
            [sys.executable, "-c", program, *words],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if name != "MTJKIT_PROGRAM"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert re.fullmatch(r"mtjkit \d+\.\d+\.\d+\n", finished(mtjkit("--version")))
    commands = finished(mtjkit("--help"))
    listed = json.loads(finished(invoke("--list", "--list-format", "json", cwd=tmp_path)))
    for task in listed["tasks"]:
        assert f"  {task['name']} " in commands
    assert finished(mtjkit("info", "vgg-small")) == finished(
        invoke("info", "binary-small", cwd=tmp_path)
    )
    refused(mtjkit("twin", "--ber", "2"), "twin: --write-error-rate (--ber) is an error rate")
    refused(mtjkit("twin", "--imgs", "3"), "twin has no option --imgs; perhaps --images; ")
    refused(mtjkit("rununix"), "there is no command rununix; perhaps run-unix; mtjkit --help lists")
    refused(mtjkit("info"), "info takes MODEL; mtjkit --help info explains it")
    refused(mtjkit("info", "digits", "net"), "info takes no further word, net; mtjkit --help info")
    refused(mtjkit("info", "digits", "-e"), "info has no option -e; mtjkit --help info")
    text = finished(mtjkit("info", "--help"))
    assert text.startswith("Usage: mtjkit info MODEL\n")
    assert re.search(r"\n  MODEL +model file", text)
    text = finished(mtjkit("twin", "--help"))
    assert re.search(r"\n  --write-error-rate=RATE +write-error rate .*\(or\s+--ber\)", text, re.S)
    assert max(map(len, text.splitlines())) <= 80


def test_options_have_no_letters():
    for name, task in namespace().tasks.items():
        for argument in task.get_arguments():
            assert all(len(word) > 1 for word in argument.names), (name, argument)


def test_the_program_is_installed_under_its_name():
    project = (ROOT / "pyproject.toml").read_text()
    assert '[project.scripts]\nmtjkit = "mtjkit_host.cli:main"\n' in project


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("--ber", "0.1"), ("--write-error-rate", "0.1")),
        (("--weight-ber", "0.01"), ("--weight-error-rate", "0.01")),
        (("--device", "cell.toml"), ("--cell", "cell.toml")),
        (("--model", "vgg-small"), ("--model", "binary-small")),
    ],
)
def test_older_names_mean_the_same(tmp_path, old, new):
    (tmp_path / "cell.toml").write_text("tau_ns = 20.0\n")
    found = []
    for words in (old, new):
        finished(invoke("twin", "--images", "3", *words, "--json", "a.json", cwd=tmp_path))
        values = json.loads((tmp_path / "a.json").read_text())
        found.append({k: v for k, v in values.items() if k not in OF_ITS_BACKEND})
    assert found[0] == found[1]
    assert found[0]["cell"] == found[0]["device"]
    assert found[0]["buffer"]["ber"] == found[0]["buffer"]["write_error_rate"]


def test_every_command_of_a_run_takes_both_names():
    tasks = namespace().tasks
    for name in ("twin", "run-unix", "run", "run-qemu", "run-pico"):
        names = {name for argument in tasks[name].get_arguments() for name in argument.names}
        assert {"write-error-rate", "ber", "weight-error-rate", "weight-ber"} <= names
        assert {"cell", "device"} <= names


def test_a_model_by_a_name_that_no_run_takes(tmp_path):
    refused(invoke("info", "fxp8-small", cwd=tmp_path), "fixed-point net", "`campaign`")
    refused(invoke("info", "x.safetensors", cwd=tmp_path), "fixed-point net")
    refused(invoke("info", "nope", cwd=tmp_path), "carried models are binary-paper, ", "-small")


def test_an_output_that_another_option_names_is_refused(tmp_path, capsys):
    ran = []

    @command()
    def use(c, model, plan=None, output=None, json=None):
        ran.append(output)

    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.write_text("mine")
    other.hardlink_to(mine)
    (tmp_path / "link").symlink_to(mine)
    new = str(tmp_path / "new")
    for given in (
        {"output": str(mine)},
        {"json": str(tmp_path / "link")},
        {"json": str(other)},
        {"model": "x", "plan": ["y", str(mine)], "output": str(mine)},
        {"output": new, "json": new},
    ):
        with pytest.raises(Exit):
            use(Context(), **{"model": str(mine), **given})
        assert "name another one" in capsys.readouterr().err
    assert not ran
    use(Context(), str(mine), output="/dev/null", json="/dev/null")
    use(Context(), str(mine), output=new, json=str(tmp_path / "newer"))
    assert ran == ["/dev/null", new]


INTERRUPTED = """
import atexit, os, signal, sys
at = sys.argv[1]
class Heavy:
    def __del__(self, write=os.write):
        write(2, b"taken apart\\n")
heavy = Heavy()
class Interrupt:
    def find_spec(self, name, *others):
        if name == at:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
if at == "mtjkit_export.cost":
    atexit.register(os.write, 2, b"files are closed\\n")
if sys.argv[2:] == ["ignored"]:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
from mtjkit_host.cli import main
sys.argv[1:] = ["info", "binary-small"]
main()
"""


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("invoke.program", "interrupted\n"),  # nothing has begun
        ("mtjkit_host.cli.nets", "interrupted\n"),
        # the command is under way; what torch, say, has loaded is not taken apart
        ("mtjkit_export.cost", "info: interrupted\nfiles are closed\n"),
    ],
)
def test_an_interrupt_is_never_a_traceback(at, said):
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, at],
        env=python_env(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "", said)


def test_an_interrupt_that_is_ignored_stays_ignored():
    words = [sys.executable, "-c", INTERRUPTED, "mtjkit_host.cli.nets", "ignored"]
    done = subprocess.run(words, env=python_env(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "taken apart\n")
    assert "binary" in done.stdout or "vgg-small" in done.stdout
