"""What Windows lacks is not needed, but for pseudo-terminals; a stand-in for a Windows machine."""

import subprocess
import sys

import pytest
from mtjkit_host.paths import CARRIED_IMAGES
from support.paths import ROOT, python_env

pytestmark = pytest.mark.program

THERE = [sys.executable, "-X", "warn_default_encoding", ROOT / "tests" / "support" / "windows.py"]


def there(folder, *words):
    done = subprocess.run(
        [*THERE, *words], cwd=folder, env=python_env(), capture_output=True, text=True, timeout=300
    )
    return done.returncode, done.stdout, done.stderr


def test_every_module_can_be_imported(tmp_path):
    status, out, err = there(tmp_path, "all")
    assert status == 0, err
    assert int(out) > 150


CAMPAIGN = """
name = "there"
rates = [0.05]
repeats = 1
images = 20
[[nets]]
label = "small"
model = "binary-small"
"""


def test_commands_need_no_pseudo_terminal(tmp_path):
    status, out, err = there(tmp_path, "twin", "--images", "20", "--json", "twin.json")
    assert status == 0, err
    assert "20, kernel" in out
    assert (tmp_path / "twin.json").is_file()


@pytest.mark.slow
def test_neither_do_long_ones(tmp_path):
    (tmp_path / "there.toml").write_text(CAMPAIGN)
    for words in (
        ["export"],
        ["campaign", "there.toml", "--data", str(CARRIED_IMAGES)],
        [
            "plan",
            "--model",
            "binary-small",
            "--images",
            "60",
            "--data",
            str(CARRIED_IMAGES),
            "--output",
            "plan.toml",
        ],
        ["info", "binary-small"],
        ["cell-list"],
    ):
        status, _, err = there(tmp_path, *words)
        assert status == 0, (words, err)
    assert list((tmp_path / "build").rglob("*.mtjb"))
    assert list((tmp_path / "build").rglob("results.jsonl"))


def test_what_needs_one_says_so_in_a_line(tmp_path):
    status, out, err = there(tmp_path, "run-unix", "--images", "2")
    assert (status, out) == (2, "")
    assert err.startswith("run-unix: this system does not run MicroPython")
    assert err.count("\n") == 1
    assert not list(tmp_path.rglob("*.jsonl"))
