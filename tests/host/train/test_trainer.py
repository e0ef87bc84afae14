"""Whole runs on made-up data: resuming, checkpoints, log, errors."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")

import torch
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_host.datasets import cifar10
from mtjkit_host.train import (
    NetSpec,
    TrainConfig,
    evaluate,
    load_net,
    state,
    train,
    trainer,
)
from mtjkit_host.train import step as step_module
from mtjkit_host.train.augment import crop_and_flip, epoch_order, epoch_plan, pad_images
from mtjkit_host.train.checkpoint import load_checkpoint, save_checkpoint
from mtjkit_host.train.modules import Linear, build_net
from mtjkit_host.train.step import make_optimizer


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images whose label shows in their colour, so that a net can learn something."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        labels = rng.integers(0, 10, 16, np.uint8)
        noise = rng.integers(0, 60, (16, 32, 32, 3), np.uint8)
        images = noise + labels[:, None, None, None] * np.array([19, 7, 1], np.uint8)
        (folder / name).write_bytes(cifar10.encode(images, labels))
    return folder


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)  # small nets, and two runs to compare bit for bit


def config(
    data: Path, run_dir: Path, preset_name: str = "binary-tiny", **changes: Any
) -> TrainConfig:
    base = TrainConfig(
        NetSpec.named(preset_name), data, run_dir, epochs=3, batch=16, warmup_epochs=1
    )
    return dataclasses.replace(base, **changes)


def tensors_of(run_dir: Path, tag: str = "last") -> dict[str, torch.Tensor]:
    return load_checkpoint(run_dir, tag)[0]


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes most of the time of a run on a few images."""
    monkeypatch.setattr(state, "plot_history", lambda *_args, **_named: None)


class Killed(BaseException):
    """Stands for a signal: nothing in the trainer may catch it."""


@pytest.mark.program
@pytest.mark.usefixtures("no_plots")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_killed_run_resumes_to_the_same_bits(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    whole = train(config(data, tmp_path / "whole", precision=precision))

    calls = 0

    def die_in_epoch_two(*args: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 8:  # five steps an epoch: in the middle of the second
            raise Killed
        return crop_and_flip(*args)

    broken = config(data, tmp_path / "broken", precision=precision)
    monkeypatch.setattr(step_module, "crop_and_flip", die_in_epoch_two)
    with pytest.raises(Killed):
        train(broken)
    assert load_checkpoint(tmp_path / "broken")[1]["epoch"] == 1
    monkeypatch.setattr(step_module, "crop_and_flip", crop_and_flip)
    resumed = train(broken)

    assert resumed.finished
    assert resumed.test_accuracy == whole.test_accuracy
    assert [record.loss for record in resumed.history] == [r.loss for r in whole.history]
    for tag in ("last", "best"):
        left, right = tensors_of(tmp_path / "whole", tag), tensors_of(tmp_path / "broken", tag)
        assert left.keys() == right.keys()
        for name, tensor in left.items():
            assert torch.equal(tensor, right[name]), name


@pytest.mark.program
def test_files_of_a_run(data: Path, tmp_path: Path) -> None:
    first = train(config(data, tmp_path, epochs_now=2))
    assert (first.epochs, first.finished) == (2, False)
    result = train(config(data, tmp_path))
    assert (result.epochs, result.finished) == (3, True)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in log] == [1, 2, 3]
    assert set(log[0]) == {"epoch", "lr", "loss", "train_accuracy", "test_accuracy", "seconds"}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [
            "best.json",
            f"best-{result.best_epoch:04d}.safetensors",
            "history.png",
            "history.svg",
            "last.json",
            "last-0003.safetensors",
            "log.jsonl",
        ]
    )
    images, labels = cifar10.load_test(data)
    assert evaluate(load_net(tmp_path), images, labels) == result.test_accuracy
    assert evaluate(load_net(tmp_path, "best"), images, labels) == result.best_accuracy
    again = train(config(data, tmp_path))
    assert again == result


@pytest.mark.usefixtures("no_plots")
def test_a_checkpoint_of_another_type_or_range_is_refused(data: Path, tmp_path: Path) -> None:
    train(config(data, tmp_path, epochs_now=1))
    path = tmp_path / "last.json"
    good = json.loads(path.read_text())
    for key, value in (
        ("epoch", "1"),
        ("lr", None),
        ("loss", float("nan")),
        ("train_accuracy", 1.5),
        ("test_accuracy", [0.5]),
        ("seconds", True),
        ("more", 1),
    ):
        path.write_text(json.dumps({**good, "history": [{**good["history"][0], key: value}]}))
        with pytest.raises(FormatError, match="history is damaged"):
            train(config(data, tmp_path))


@pytest.mark.program
@pytest.mark.usefixtures("no_plots")
@pytest.mark.parametrize("net", ["binary-tiny", "fxp8-tiny"])
def test_it_learns(data: Path, tmp_path: Path, net: str) -> None:
    result = train(config(data, tmp_path, net, epochs=8, peak_lr=5e-3))
    assert result.history[-1].loss < 0.85 * result.history[0].loss
    for name, tensor in tensors_of(tmp_path).items():
        if name.endswith("linear.weight"):
            assert tensor.abs().max() <= 1


@pytest.mark.usefixtures("no_plots")
def test_a_time_limit_stops_after_an_epoch(data: Path, tmp_path: Path) -> None:
    stopped = train(config(data, tmp_path, limit_s=1e-9, save_every=5, test_every=5))
    assert (stopped.epochs, stopped.finished) == (1, False)
    assert stopped.history[0].test_accuracy is not None
    assert train(config(data, tmp_path, limit_s=1e9)).finished


@pytest.mark.usefixtures("no_plots")
def test_tests_and_checkpoints_are_as_far_apart_as_told(data: Path, tmp_path: Path) -> None:
    result = train(config(data, tmp_path, epochs=5, save_every=3, test_every=2, keep_best=False))
    tested = [record.epoch for record in result.history if record.test_accuracy is not None]
    assert tested == [2, 4, 5]
    assert not list(tmp_path.glob("best*"))
    # A finished run keeps its net, not the optimizer's state; an unfinished one both.
    assert not any(name.startswith("adam.") for name in tensors_of(tmp_path))
    part = config(data, tmp_path / "part", epochs=5, epochs_now=1)
    train(part)
    assert any(name.startswith("adam.") for name in tensors_of(tmp_path / "part"))


@pytest.mark.program
@pytest.mark.usefixtures("no_plots")
@pytest.mark.parametrize("errors", ["flip", "keep"])
def test_a_run_with_write_errors_resumes_to_the_same_bits(
    data: Path, tmp_path: Path, errors: str
) -> None:
    settings = {"train_ber": (0.1,), "errors": errors, "epochs": 2}
    train(config(data, tmp_path / "whole", **settings))
    train(config(data, tmp_path / "parts", epochs_now=1, **settings))
    train(config(data, tmp_path / "parts", **settings))
    train(config(data, tmp_path / "none", epochs=2))
    whole, parts, none = (tensors_of(tmp_path / name) for name in ("whole", "parts", "none"))
    assert all(torch.equal(tensor, parts[name]) for name, tensor in whole.items())
    assert not all(torch.equal(tensor, none[name]) for name, tensor in whole.items())


def test_spread_weights_fill_their_range_and_learn_by_glorots_factor(
    data: Path, tmp_path: Path
) -> None:
    net = build_net(NetSpec.named("fxp8-small"), 0, spread=True)
    layers = [module for module in net.modules() if isinstance(module, Linear)]
    for layer in layers:
        assert layer.weight.abs().max() <= 1
        assert layer.weight.detach().square().mean().sqrt().item() == pytest.approx(
            3**-0.5, rel=0.06
        )
    factors = [layer.glorot_factor for layer in layers]
    assert factors[0] == pytest.approx(((27 + 9 * 32) / 1.5) ** 0.5)
    assert factors[5] == pytest.approx(((9 * 128 + 9 * 128) / 1.5) ** 0.5)
    assert factors[-1] == pytest.approx(((256 + 10) / 1.5) ** 0.5)
    settings = config(data, tmp_path, "fxp8-small", preset="spread")
    optimizer = make_optimizer(settings, net)
    found = {id(p): g["factor"] for g in optimizer.param_groups for p in g["params"]}
    assert [found[id(layer.weight)] for layer in layers] == factors
    assert found[id(net.log_scale)] == 1
    assert len(found) == len(list(net.parameters()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.usefixtures("no_plots")
@pytest.mark.parametrize("train_ber", [(), (0.1,)])
def test_a_gpu_gives_the_same_weights_twice(
    data: Path, tmp_path: Path, train_ber: tuple[float, ...]
) -> None:
    settings = {"device": "cuda", "epochs": 4, "train_ber": train_ber}
    first = train(config(data, tmp_path / "a", **settings))
    train(config(data, tmp_path / "b", **settings))
    left, right = tensors_of(tmp_path / "a"), tensors_of(tmp_path / "b")
    assert all(torch.equal(tensor, right[name]) for name, tensor in left.items())
    images, labels = cifar10.load_test(data)
    assert evaluate(load_net(tmp_path / "a"), images, labels) == first.test_accuracy


@pytest.mark.program
def test_start_from_another_net(data: Path, tmp_path: Path) -> None:
    train(config(data, tmp_path / "fxp", "fxp8-tiny", epochs_now=1))
    source = tensors_of(tmp_path / "fxp")["net.blocks.0.linear.weight"]
    started = config(
        data, tmp_path / "bin", epochs_now=1, start_from=tmp_path / "fxp", peak_lr=1e-12
    )
    train(started)
    copied = tensors_of(tmp_path / "bin")["net.blocks.0.linear.weight"]
    torch.testing.assert_close(copied, source, atol=1e-9, rtol=0)
    train(config(data, tmp_path / "x3", "binary_x3-tiny", epochs_now=1))
    with pytest.raises(FormatError, match=r"x3: .*binary_x3-tiny does not fit binary-tiny; start"):
        train(config(data, tmp_path / "narrow", start_from=tmp_path / "x3"))
    with pytest.raises(ConfigError, match="no checkpoint"):
        train(config(data, tmp_path / "none", start_from=tmp_path / "nowhere"))


def test_another_recipe_is_refused(data: Path, tmp_path: Path) -> None:
    train(config(data, tmp_path, epochs_now=1))
    with pytest.raises(ConfigError, match="another peak_lr, seed;"):
        train(config(data, tmp_path, seed=9, peak_lr=1e-4))
    with pytest.raises(ConfigError, match="another net;"):
        train(config(data, tmp_path, "binary_x3-tiny"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must"),
        ({"batch": 1}, "batch must"),
        ({"peak_lr": 0.0}, "peak_lr must"),
        ({"peak_lr": float("nan")}, "peak_lr must"),
        ({"peak_lr": float("inf")}, "peak_lr must"),
        ({"warmup_epochs": -1}, "warmup_epochs must"),
        ({"label_smoothing": 1.0}, "label_smoothing must"),
        ({"seed": -1}, "seed must"),
        ({"precision": "int8"}, "precision must be one of auto, float32, bfloat16"),
        ({"preset": "wide"}, "preset must be one of plain, spread"),
        ({"errors": "both"}, "errors must be one of flip, keep"),
        ({"ramp_epochs": -1}, "ramp_epochs must"),
        ({"train_ber": (1.5,)}, "train_ber needs rates from 0 to 1"),
        ({"train_ber": (0.1, 0.2)}, "one for each of the 8 hidden layers"),
        ({"net": NetSpec.named("fxp8-tiny"), "train_ber": (0.1,)}, "train_ber is for binary"),
        ({"limit_s": -1}, "limit_s must"),
        ({"save_every": 0}, "save_every and test_every"),
        ({"device": "tpu"}, "device must be one of"),
        ({"threads": -1}, "threads, limit_train"),
    ],
)
def test_wrong_settings_are_named(
    data: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        config(data, tmp_path, **changes)


def test_one_run_folder_has_one_trainer(data: Path, tmp_path: Path) -> None:
    with state.locked(tmp_path), pytest.raises(ConfigError, match="another process is training"):
        train(config(data, tmp_path))
    with state.locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_wrong_surroundings_are_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="do not fill a batch"):
        train(config(data, tmp_path / "run", batch=128))
    with pytest.raises(ConfigError, match="no such file or folder"):
        train(config(tmp_path / "nowhere", tmp_path / "run"))
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made"):
        train(config(data, tmp_path / "file" / "run"))
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no CUDA device"):
            train(config(data, tmp_path / "run", device="cuda"))


def test_damaged_checkpoints_are_format_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no checkpoint"):
        load_net(tmp_path)
    save_checkpoint(tmp_path, "last", 1, {"a": torch.ones(3)}, {"config": {}})
    with pytest.raises(FormatError, match="which net"):
        load_net(tmp_path)
    tensors = tmp_path / "last-0001.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-5])
    with pytest.raises(FormatError, match="damaged or missing"):
        load_checkpoint(tmp_path)
    tensors.unlink()
    with pytest.raises(FormatError, match="damaged or missing"):
        load_checkpoint(tmp_path)
    record = tmp_path / "last.json"
    for text, message in (
        ('{"version": 1, "tensors": "../../secret"}', "names no tensor file"),
        ('{"version": 99}', "not a checkpoint of version 1"),
        ("[1, 2]", "not a checkpoint of version 1"),
        ('{"version"', "not a readable"),
    ):
        record.write_text(text)
        with pytest.raises(FormatError, match=message):
            load_checkpoint(tmp_path)


def test_a_checkpoint_replaces_the_one_before(tmp_path: Path) -> None:
    for epoch in (1, 2):
        save_checkpoint(tmp_path, "last", epoch, {"a": torch.full((2,), float(epoch))}, {})
    assert load_checkpoint(tmp_path)[0]["a"].tolist() == [2, 2]
    assert len(list(tmp_path.iterdir())) == 2


def test_learning_rate_warms_up_and_falls(data: Path, tmp_path: Path) -> None:
    settings = config(data, tmp_path, epochs=10, warmup_epochs=2, peak_lr=1.0)
    rates = [trainer.learning_rate(settings, step, 100) for step in range(1000)]
    assert rates[0] == pytest.approx(1 / 200)
    assert max(rates) == rates[199] == 1.0
    assert rates[599] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0)
    assert all(a > b for a, b in itertools.pairwise(rates[199:]))


def test_short_runs_warm_up_for_a_quarter(data: Path, tmp_path: Path) -> None:
    settings = config(data, tmp_path, epochs=2, warmup_epochs=3, peak_lr=1.0)
    rates = [trainer.learning_rate(settings, step, 10) for step in range(20)]
    assert max(rates) == rates[4] == 1.0
    assert rates[-1] == 0


def test_crops_are_windows_of_the_padded_image() -> None:
    images = torch.arange(2 * 6 * 6, dtype=torch.uint8).reshape(2, 6, 6, 1)
    padded_images = pad_images(images)
    assert padded_images.shape == (2, 14, 14, 1)
    assert padded_images[0, 0, 0, 0] == 128
    plan = epoch_plan(400, 400, 0, 1)[0]
    plan[0] %= 2
    crops = crop_and_flip(padded_images, torch.from_numpy(plan)).numpy()
    padded, chosen = padded_images.numpy(), plan[0]
    windows = {
        (image, flip, padded[image, r : r + 6, c : c + 6][:, :: 1 - 2 * flip].tobytes())
        for image in range(2)
        for flip in range(2)
        for r in range(9)
        for c in range(9)
    }
    seen = set()
    for image, crop in zip(chosen, crops, strict=True):
        found = {key for key in windows if key[0] == image and key[2] == crop.tobytes()}
        assert found
        seen |= found
    assert len(seen) > 200
    assert {key[1] for key in seen} == {0, 1}


def test_an_epochs_pictures_are_those_it_always_had() -> None:
    """The plan draws what the trainer drew batch by batch: old runs resume with their pictures."""
    images = np.random.default_rng(3).integers(0, 256, (40, 8, 8, 3), np.uint8)
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)), constant_values=128)
    order = np.random.default_rng((5, 2, 0)).permutation(40)
    rng = np.random.default_rng((5, 2, 1))
    for number, plan in enumerate(epoch_plan(40, 16, 5, 2)):
        chosen = order[16 * number : 16 * number + 16]
        rows, columns = rng.integers(0, 9, 16), rng.integers(0, 9, 16)
        flipped = rng.integers(0, 2, 16).astype(bool)
        expected = np.stack(
            [
                padded[image, row : row + 8, column : column + 8][:, :: -1 if flip else 1]
                for image, row, column, flip in zip(chosen, rows, columns, flipped, strict=True)
            ]
        )
        crops = crop_and_flip(pad_images(torch.from_numpy(images)), torch.from_numpy(plan))
        assert (crops.numpy() == expected).all()
    assert number == 1


def test_chance_follows_from_seed_and_epoch() -> None:
    assert epoch_order(50, 1, 2).tolist() == epoch_order(50, 1, 2).tolist()
    assert epoch_order(50, 1, 2).tolist() != epoch_order(50, 1, 3).tolist()
    assert epoch_order(50, 1, 2).tolist() != epoch_order(50, 2, 2).tolist()
    assert sorted(epoch_order(50, 1, 2)) == list(range(50))
