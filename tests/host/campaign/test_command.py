"""Campaigns as a user starts them: options of the real commands, one line for bad ones."""

import json
import os
import resource
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from support import commands

pytest.importorskip("matplotlib", reason="needs the extra report")

pytestmark = pytest.mark.program

ROOT = Path(__file__).resolve().parents[3]
CARRIED = ROOT / "host" / "mtjkit_host" / "data"
TOML = """
rates = [0.1]
memories = ["feature_maps"]
repeats = 3
images = 20

[[nets]]
label = "Binary"
model = "vgg-small"

[[nets]]
label = "Gone"
model = "no-such-net"
"""


@pytest.fixture
def invoke(tmp_path):
    (tmp_path / "mine.toml").write_text(TOML)

    def run(*words):
        return commands.invoke(*words, cwd=tmp_path)

    return run


MINE = ("campaign", "mine.toml", "--data", CARRIED / "cifar10_test_500.bin", "--models", CARRIED)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("reproduce", "--workers", "0"), "--workers takes a whole number from 1"),
        (("reproduce", "--limit-s", "an hour"), "--limit-s takes a whole number"),
        ((*MINE, "--limit-s", "-5"), "--limit-s takes a whole number"),
        ((*MINE, "--cell", "macrospin-2"), "states no current and voltage"),
        ((*MINE, "--cluster", "node7"), "--cluster takes tcp://HOST:PORT, local:N"),
        (MINE, "no no-such-net"),
        (("campaign", "none", "--data", "."), "no such campaign"),
        (("train",), "--data names what to train on"),
    ],
)
def test_bad_options_end_in_one_line(invoke, tmp_path, words, part):
    done = invoke(*words)
    commands.refused(done, part)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def test_missing_nets_are_left_out_and_named(invoke, tmp_path):
    done = invoke(*MINE, "--skip-missing", "--watch", "--workers", 1, "--limit-s", 200)
    assert done.returncode == 0, done.stderr
    assert "the report while the campaign runs: http://127.0.0.1:" in done.stderr
    assert "missing: Gone: no no-such-net" in done.stdout
    results = tmp_path / "build" / "campaigns" / "mine" / "results.jsonl"
    records = [json.loads(line) for line in results.read_text().splitlines()]
    assert [record["net"] for record in records] == ["Binary"] * 4
    assert (results.parent / "report.html").is_file()


GESTURES = """
rates = [0.02]
memories = ["feature_maps", "weights"]
errors = ["flip", "keep"]
repeats = 2
images = 90

[[nets]]
label = "Gestures"
model = "gestures"
"""


def test_a_campaign_measures_a_net_of_other_data(tmp_path):
    """Vectors of a sensor, int8: every point, the report, and another run's accuracy."""
    (tmp_path / "own.toml").write_text(GESTURES)
    words = ("--data", CARRIED / "gestures.npz", "--workers", 1)
    done = commands.finished(commands.invoke("campaign", "own.toml", *words, cwd=tmp_path))
    folder = tmp_path / "build" / "campaigns" / "own"
    records = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert len(records) == 9  # without errors, and two repeats of two memories of two kinds
    clean = commands.finished(commands.invoke(
        "twin", "--model", "gestures", "--ber", "0", "--images", "90", "--json", "run.json",
        cwd=tmp_path,
    ))  # fmt: skip
    correct = json.loads((tmp_path / "run.json").read_text())["correct"]
    assert records[0]["correct"] == correct > 60
    assert f"({correct} of 90" in clean
    assert "Gestures" in done
    assert "CIFAR" not in done
    page = (folder / "report.html").read_text()
    assert "Gestures" in page
    assert "CIFAR" not in page


ONE = """
rates = [0.1]
memories = ["feature_maps"]
repeats = 1
images = 20

[[nets]]
label = "a"
model = "vgg-small"
"""


def test_a_full_disk_is_one_line_and_costs_no_point_that_is_there(tmp_path):
    """A limit of the size of files stands for the disk."""
    (tmp_path / "one.toml").write_text(ONE.replace("repeats = 1", "repeats = 10"))
    words = ("campaign", "one.toml", "--data", CARRIED / "cifar10_test_500.bin", "--workers", 1)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    folder = tmp_path / "build" / "campaigns" / "one"
    full = commands.ended(commands.start(*words, cwd=tmp_path, preexec_fn=limit))
    commands.refused(full, "campaign: cannot write", "results.jsonl: File too large")
    before = (folder / "results.jsonl").read_bytes()
    assert 0 < len(before) <= 3000
    assert before.endswith(b"\n")
    assert sorted(path.name for path in folder.iterdir()) == ["campaign.json", "results.jsonl"]
    commands.finished(commands.invoke(*words, cwd=tmp_path))
    assert (folder / "results.jsonl").read_bytes().startswith(before)


def _own_mounts():
    """Whether a process may have mounts of its own here."""
    if os.name != "posix" or os.geteuid() or not shutil.which("unshare"):
        return False
    probe = "mount -t tmpfs -o ro none /dev/shm"
    return subprocess.run(["unshare", "-m", "sh", "-c", probe], check=False).returncode == 0


def test_without_shared_memory_one_process_computes_alone(tmp_path):
    if not _own_mounts():
        pytest.skip("takes a /dev/shm that cannot be written: root, and mounts of one's own")
    (tmp_path / "one.toml").write_text(ONE)
    command = [*commands.INVOKE, "campaign", "one.toml", "--data", CARRIED / "cifar10_test_500.bin"]
    script = "mount -t tmpfs -o ro none /dev/shm && exec " + shlex.join(map(str, command))
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "one computes alone" in done.stderr
    assert done.stderr.count("\n") == 1
    results = tmp_path / "build" / "campaigns" / "one" / "results.jsonl"
    assert results.read_bytes().count(b"\n") == 2
