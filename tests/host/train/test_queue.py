"""The queue of trainings, whole: tiny nets on made-up pictures."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")

import torch
from mtjkit_core.errors import ConfigError
from mtjkit_host.campaign.nets import load_net
from mtjkit_host.datasets import cifar10
from mtjkit_host.simulate.simulator import open_simulator
from mtjkit_host.train import queue


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        images = rng.integers(0, 256, (8, 32, 32, 3), np.uint8)
        labels = rng.integers(0, 10, 8, np.uint8)
        (folder / name).write_bytes(cifar10.encode(images, labels))
    return folder


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def work(data: Path, folder: Path, runs: list[dict[str, Any]], *options: str) -> int:
    (folder / "plan.json").write_text(json.dumps({"runs": runs}))
    return queue.main(
        [
            str(folder / "plan.json"),
            *("--data", str(data), "--out", str(folder / "out"), "--work", str(folder / "runs")),
            *("--speeds", str(folder / "speeds.json"), "--device", "cpu", *options),
        ]
    )


TINY = {"bits": 1, "conv": [4, 4], "dense": [8]}
FIXED = {"bits": 8, "conv": [4, 4], "dense": [8]}


@pytest.mark.program
def test_each_net_is_trained_exported_and_described(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs: list[dict[str, Any]] = [
        {"name": "plain", "net": TINY, "epochs": 2, "batch": 16, "peak_lr": 0.01},
        {"name": "borne", "net": TINY, "epochs": 2, "batch": 16, "train_ber": [0.1], "group": "g"},
        {"name": "codes", "net": FIXED, "epochs": 1, "batch": 16, "preset": "spread", "group": "g"},
        {"name": "next", "net": TINY, "epochs": 1, "batch": 16, "start_from": "plain"},
        {"name": "lost", "net": FIXED, "epochs": 1, "batch": 16, "start_from": "nobody"},
    ]
    packed = tmp_path / "packed"
    packed.mkdir()
    assert work(data, tmp_path, runs, "--packed", str(packed)) == 1
    assert "lost: FAILED" in capsys.readouterr().out
    images, labels = cifar10.load_test(data)
    for name, suffix in (("plain", "mtjb"), ("borne", "mtjb"), ("codes", "safetensors")):
        record = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        net = open_simulator(load_net(tmp_path / "out" / f"{name}.{suffix}"))
        scores, _ = net.run(images)
        assert record["test_accuracy"] == np.mean(scores.argmax(axis=1) == labels)
        assert record["epochs"] == len(record["history"])
        assert record["finished"]
        assert record["config"]["batch"] == 16
    with tarfile.open(packed / "nets.tar.0") as tar:
        names = tar.getnames()
    assert sorted(names) == sorted(path.name for path in (tmp_path / "out").iterdir())


@pytest.mark.program
def test_what_does_not_fit_gets_fewer_epochs_or_none(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """40 images: an epoch of "slow" takes 4 s by its speed, one of "slower" 400 s."""
    (tmp_path / "speeds.json").write_text(json.dumps({"slow": 0.1, "slower": 10.0}))
    runs: list[dict[str, Any]] = [
        {"name": "slower", "net": TINY, "epochs": [1, 9], "batch": 16},
        {"name": "slow", "net": TINY, "epochs": [1, 9], "seconds": 9, "batch": 16},
    ]
    assert work(data, tmp_path, runs, "--limit-s", "60") == 1
    said = capsys.readouterr().out
    assert "slower: left out" in said
    assert "slow: 2 epochs" in said
    assert json.loads((tmp_path / "out" / "slow.json").read_text())["epochs"] == 2


@pytest.mark.program
def test_speeds_are_measured_and_settings_replaced(data: Path, tmp_path: Path) -> None:
    runs: list[dict[str, Any]] = [{"name": "a", "net": TINY, "batch": 64}]
    assert work(data, tmp_path, runs, "--time", "2", "--set", "a.batch=16") == 0
    assert 0 < json.loads((tmp_path / "speeds.json").read_text())["a"] < 10
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"net": TINY}, "'name'"),
        ({"name": "a", "net": "nothing"}, "unknown net 'nothing'"),
        ({"name": "a", "net": TINY, "colour": 1}, "a: .*colour"),
        ({"name": "a", "net": FIXED, "train_ber": [0.1]}, "train_ber is for binary nets"),
    ],
)
def test_a_wrong_plan_is_named(
    data: Path, tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        work(data, tmp_path, [fields])


def test_parts_hold_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "PART_BYTES", 1000)
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    (tmp_path / "from" / "a").write_bytes(bytes(range(256)) * 10)
    queue.pack(tmp_path / "from", tmp_path / "to")
    parts = [path.read_bytes() for path in sorted((tmp_path / "to").iterdir(), key=_number)]
    assert max(map(len, parts)) == 1000
    with tarfile.open(fileobj=io.BytesIO(b"".join(parts))) as tar:
        member = tar.extractfile("a")
        assert member is not None
        held = member.read()
    assert held == bytes(range(256)) * 10


def _number(path: Path) -> int:
    return int(path.suffix[1:])
