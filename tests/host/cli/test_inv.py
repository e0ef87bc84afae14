"""The bootstrap: which extras a command line needs, and when the environment is made anew.

Its environment here is a sham whose pip only writes down what it is asked for: the real one takes
a network and minutes.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.paths import ROOT

pytestmark = [
    pytest.mark.program,
    pytest.mark.skipif(os.name != "posix", reason="inv is a script of sh"),
]

PYTHON = f"""#!/bin/sh
# python -m venv FOLDER: makes another sham; python -m pip ...: noted; all else: the real python
case "$1 $2" in
"-m venv")
    mkdir -p "$3/bin" "$3/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    cp "$SHAM" "$3/bin/python"
    printf '#!%s/bin/python\\n' "$3" >"$3/bin/pip"
    chmod +x "$3/bin/pip"
    ;;
*/tasks.py*) echo "$0 runs" "$@" ;;
"-m pip") for last; do :; done; echo "$last" >>"$NOTES"; [ -z "$SLOW" ] || exec sleep 60 ;;
*) exec {sys.executable} "$@" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "a checkout"
    folder.mkdir()
    shutil.copy(ROOT / "inv", folder)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    return folder


def inv(folder, *words, cwd=None, script=None):
    """Run ./inv; returns the process and the extras that were installed, None for no install."""
    base = folder.parent
    notes = base / "notes"
    notes.unlink(missing_ok=True)
    done = subprocess.run(
        [script or folder / "inv", *words],
        cwd=cwd or folder,
        env={
            **os.environ,
            "PYTHON": str(base / "python"),
            "SHAM": str(base / "python"),
            "NOTES": str(notes),
            "SLOW": "",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if not notes.exists():
        return done, None
    [asked] = notes.read_text().splitlines()
    assert asked.startswith(str(folder)), asked
    return done, asked.removeprefix(str(folder)).strip("[]").replace(",", " ").split()


@pytest.mark.parametrize(
    ("line", "extras"),
    [
        ("run-unix", ""),
        ("run --data train --model export", ""),
        ("run-unix --errors keep --json test", ""),
        ("twin -d bench", ""),
        ("twin --data=tflite", ""),
        ("info test", ""),
        ("info tflite", ""),
        ("--help bench", ""),
        ("bench --help", ""),
        ("--list", ""),
        ("train --data x", "train"),
        ("campaign test --data x", "report"),
        ("campaign test --cluster local:2", "report cluster"),
        ("reproduce --quick", "report"),
        ("bench --only device", "dev"),
        ("lint test", "dev"),
        ("check", "dev"),
        ("flash --port auto", "board"),
        ("firmware --heap 100000", "board"),
        ("run --board mps2-an385", "board"),
        ("run --board=pico", "board"),
        ("run-pico", "board"),
        ("export", ""),
        ("export --output tflite", ""),
        ("export --best --run build/train/x", "train"),
        ("export --run=build/train/x", "train"),
        ("export --format tflite", "train tflite"),
        ("export --format=tflite", "train tflite"),
    ],
)
def test_extras_follow_the_task_and_the_format(checkout, line, extras):
    assert inv(checkout, *line.split())[1] == extras.split()


def test_export_of_a_training_run_takes_torch(checkout):
    run = checkout / "build" / "train" / "binary-small"
    run.mkdir(parents=True)
    (run / "last.json").touch()
    assert inv(checkout, "export")[1] == ["train"]


def test_an_interrupted_installation_is_one_line_and_goes_on(checkout, tmp_path):
    """Ctrl-C reaches all processes of the terminal; pip would answer with a traceback."""
    notes = tmp_path / "notes"
    sham = {name: str(tmp_path / "python") for name in ("PYTHON", "SHAM")}
    process = subprocess.Popen(
        [checkout / "inv", "twin"],
        env={**os.environ, **sham, "NOTES": str(notes), "SLOW": "yes"},
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while not notes.exists() and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=30)[1].splitlines()
    assert process.returncode == 130
    assert said[-1] == "inv: interrupted; the same command installs the rest"
    assert inv(checkout, "twin")[1] == []


def test_nothing_is_installed_twice(checkout):
    assert inv(checkout, "twin")[1] == []
    assert inv(checkout, "info", "x")[1] is None
    assert inv(checkout, "flash")[1] == ["board"]
    assert inv(checkout, "flash")[1] is None
    (checkout / "pyproject.toml").write_text("other pins")
    assert inv(checkout, "twin")[1] == []


def test_a_copied_or_moved_folder_gets_its_own_environment(checkout, tmp_path):
    inv(checkout, "twin")
    copied, moved = tmp_path / "copied", tmp_path / "moved"
    shutil.copytree(checkout, copied, symlinks=True)
    shutil.move(checkout, moved)
    for folder in (copied, moved):
        done, extras = inv(folder, "twin", "x")
        assert "making it anew" in done.stderr
        assert extras == []
        assert done.stdout == f"{folder}/.venv/bin/python runs {folder}/tasks.py twin x\n"
        assert inv(folder, "twin")[1] is None


def test_another_python_gets_another_environment(checkout):
    inv(checkout, "twin")
    [lib] = (checkout / ".venv" / "lib").iterdir()
    lib.rename(lib.with_name("python3.1"))  # made by a Python that is another version now
    assert "making it anew" in inv(checkout, "twin")[0].stderr
    (checkout / ".venv" / "bin" / "python").unlink()
    (checkout / ".venv" / "bin" / "python").symlink_to("/nowhere/python3")
    assert "making it anew" in inv(checkout, "twin")[0].stderr
    assert inv(checkout, "twin")[1] is None


def test_links_to_inv_lead_to_its_folder(checkout, tmp_path):
    inv(checkout, "twin")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "first").symlink_to(Path("..") / checkout.name / "inv")
    (elsewhere / "second").symlink_to(elsewhere / "first")
    (tmp_path / "folder").symlink_to(checkout)
    for script in (elsewhere / "second", tmp_path / "folder" / "inv"):
        done, extras = inv(checkout, "twin", cwd=elsewhere, script=script)
        assert extras is None
        assert done.stdout.startswith(f"{checkout}/.venv/bin/python runs ")
    assert sorted(path.name for path in elsewhere.iterdir()) == ["first", "second"]
