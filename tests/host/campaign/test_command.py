"""Campaigns as a user starts them: options of the real commands, one line for bad ones."""

import json
from pathlib import Path

import pytest
from support import commands

pytest.importorskip("matplotlib", reason="needs the extra train")

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
        (MINE, "no no-such-net"),
        (("campaign", "none", "--data", "."), "no such campaign"),
    ],
)
def test_bad_options_end_in_one_line(invoke, tmp_path, words, part):
    done = invoke(*words)
    commands.refused(done, part)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def test_missing_nets_are_left_out_and_named(invoke, tmp_path):
    done = invoke(*MINE, "--skip-missing", "--workers", 1, "--limit-s", 200)
    assert done.returncode == 0, done.stderr
    assert "missing: Gone: no no-such-net" in done.stdout
    results = tmp_path / "build" / "campaigns" / "mine" / "results.jsonl"
    records = [json.loads(line) for line in results.read_text().splitlines()]
    assert [record["net"] for record in records] == ["Binary"] * 4
    assert (results.parent / "report.html").is_file()
