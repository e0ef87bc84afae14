"""Whatever stdout and stderr are, a run's JSON is written and nothing ends in a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from invoke.context import Context
from mtjkit_host.cli.command import command
from PIL import Image
from support.commands import INVOKE

pytestmark = [
    pytest.mark.program,
    pytest.mark.skipif(os.name != "posix", reason="closes and redirects as sh does"),
]

LETTERS = {"PYTHONIOENCODING": "latin-1"}
NO_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def shell(line, cwd, env=None):
    """Run a line of sh in which $MTJ stands for `invoke`."""
    words = " ".join(f"'{word}'" for word in INVOKE)
    return subprocess.run(
        ["sh", "-c", line.replace("$MTJ", words)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("redirect", "status", "said"),
    [
        ("| true", 0, ""),
        ("| head -n 1", 0, ""),
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        ("> /dev/full", 2, "twin: the result cannot be printed (No space left on device)\n"),
        ("> /dev/full 2>&1", 2, ""),
    ],
)
def test_a_broken_stream_costs_no_result(tmp_path, redirect, status, said):
    if "/dev/full" in redirect and not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    run = f"($MTJ twin --images 5 --json a.json; echo $? > status) {redirect}"
    if "|" not in redirect:
        run = f"$MTJ twin --images 5 --json a.json {redirect}; echo $? > status"
    done = shell(run, tmp_path)
    assert done.stderr == said
    assert int((tmp_path / "status").read_text()) == status
    assert json.loads((tmp_path / "a.json").read_text())["images"] == 5


@pytest.mark.parametrize("env", [LETTERS, NO_LOCALE])
def test_letters_that_stdout_lacks_are_shown_as_codes(tmp_path, env):
    Image.new("RGB", (9, 9)).save(tmp_path / "日本.png")
    done = shell("$MTJ twin --data . --json a.json", tmp_path, env)
    assert done.returncode == 0
    assert done.stderr.isascii()
    assert "Traceback" not in done.stderr
    assert done.stdout.isascii()
    assert ".png" in done.stdout
    assert json.loads((tmp_path / "a.json").read_text())["images"] == 1


@pytest.mark.parametrize("words", ["--list", "--help twin"])
def test_help_for_a_reader_that_leaves(tmp_path, words):
    assert shell(f"$MTJ {words} | true", tmp_path).stderr == ""


def test_a_table_in_a_pipe_is_never_cut(tmp_path):
    names = [f"{'x' * 120}{n}.png" for n in range(2)]
    for name in names:
        Image.new("RGB", (9, 9)).save(tmp_path / name)
    done = shell("$MTJ twin --data . | cat", tmp_path, {"COLUMNS": "20"})
    assert all(name in done.stdout for name in names)


def test_json_on_stdout(tmp_path):
    done = shell("$MTJ twin --images 2 --json /dev/stdout", tmp_path)
    values, _ = json.JSONDecoder().raw_decode(done.stdout)
    assert values["images"] == 2
    assert "accuracy" in done.stdout.split("}\n")[-1]


def test_an_output_that_cannot_be_written_is_refused_before_the_run(tmp_path):
    done = shell("$MTJ twin --json /proc/x/y.json", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("twin: --json: cannot write /proc/x/y.json: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="takes another user: root on Linux"
)
def test_a_user_without_home_gets_a_folder_of_its_own(tmp_path):
    code = (
        "import os; os.environ.pop('HOME', None); os.environ.pop('XDG_CACHE_HOME', None)\n"
        "os.environ.pop('MTJKIT_CACHE', None)\n"
        "import tempfile, sys; tempfile.tempdir = sys.argv[1]\n"
        "from mtjkit_core.errors import ConfigError; from mtjkit_host.paths import cache_dir\n"
        "os.setuid(54321)\n"
        "print(cache_dir()); cache_dir().chmod(0o777)\n"
        "try: cache_dir()\n"
        "except ConfigError as error: print(error)\n"
    )
    folder = Path(os.path.realpath("/tmp")) / f"mtjkit-test-{os.getpid()}"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, folder], capture_output=True, text=True, check=False
        )
    finally:
        for path in folder.iterdir():
            path.rmdir()
        folder.rmdir()
    first, second = done.stdout.splitlines()
    assert first == f"{folder}/mtjkit-54321"
    assert second.startswith(f"{folder}/mtjkit-54321 is not this user's alone; set MTJKIT_CACHE")


def test_a_home_in_an_option_is_expanded(monkeypatch):
    """Shells leave ~ alone in --data=~/photos."""
    monkeypatch.setenv("HOME", "/home/me")
    found = []

    @command()
    def look(c, where, several):
        found.append((where, several))

    look(Context(), "~/x", several=["~/y", "a~"])
    assert found == [("/home/me/x", ["/home/me/y", "a~"])]
