"""Shapes and data of one's own: what is read, trained and exported, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")

import torch
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.model import Model
from mtjkit_export.formats.mtjb_reader import load
from mtjkit_export.formats.mtjb_writer import encode
from mtjkit_host.campaign.nets import trained_on
from mtjkit_host.datasets.dataset import parted
from mtjkit_host.datasets.images import load_images
from mtjkit_host.simulate.simulator import open_simulator
from mtjkit_host.train import Net, NetSpec, build_net, load_net, predict, state, widen
from mtjkit_host.train.architectures import parse_net
from mtjkit_host.train.augment import crop_and_flip, epoch_plan, pad_images
from mtjkit_host.train.command import export_run, parse_training, run_training
from mtjkit_host.train.data import load_parts
from mtjkit_host.train.lower import fold, fold_fixed


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(state, "plot_history", lambda *_args, **_named: None)


def settled(net: Net, images: Any) -> Net:
    """A net whose batch norms have seen images, with both polarities."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.7)
        for _ in range(3):
            net.train()(torch.from_numpy(images))
    return net.eval()


SHAPES = [
    ("conv:5,8p,dp/dense:9", (12, 10, 2)),
    ("conv:6k5s2,d,7k1,5k2x3s2x1p2x3/dense:4,3", (17, 14, 3)),
    ("conv:8k5x1s2x1,9k3x1p2x1", (41, 1, 3)),
    ("dense:16,8", (1, 1, 33)),
    ("dense:7", (6, 5, 2)),
]


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize(("shape", "input_shape"), SHAPES)
def test_any_shape_has_the_scores_of_torch(
    shape: str, input_shape: tuple[int, int, int], int8: bool
) -> None:
    spec = NetSpec(*parse_net(shape), 5, input_shape, takes_int8=int8)
    images = np.random.default_rng(3).integers(0, 256, (24, *input_shape), np.uint8)
    images = images.view(np.int8) if int8 else images
    net = settled(build_net(spec, 2), images)
    model = Model(encode(fold(net)))
    assert (model.pixels, model.input_shape) == (2 if int8 else 0, input_shape)
    scores, _ = open_simulator(model).run(images)
    np.testing.assert_array_equal(scores, predict(net, images).numpy())
    assert len(np.unique(scores)) > 3


@pytest.mark.parametrize(
    ("shape", "input_shape"), [("conv:5,6p,7", (9, 9, 2)), ("dense:6", (1, 1, 20))]
)
def test_a_fixed_point_shape_has_the_scores_of_torch(
    shape: str, input_shape: tuple[int, int, int]
) -> None:
    spec = NetSpec(*parse_net(f"fxp8/{shape}"), 4, input_shape)
    images = np.random.default_rng(3).integers(0, 256, (8, *input_shape), np.uint8)
    net = settled(build_net(spec, 2), images)
    scores, _ = open_simulator(fold_fixed(net)).run(images)
    np.testing.assert_array_equal(scores, predict(net, images).double().numpy())


def test_a_shape_is_widened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widen, "NOISE", 0.0)
    images = np.random.default_rng(3).integers(0, 256, (6, 8, 8, 2), np.uint8)

    def net_of(shape: str) -> Net:
        return build_net(NetSpec(*parse_net(shape), 3, (8, 8, 2)), 2)

    source, net = settled(net_of("conv:4,dp/dense:5"), images), net_of("conv:8,dp/dense:15")
    widen.widen(source, net, torch.Generator())
    expected = 3 * predict(source, images)
    assert torch.equal(predict(net, images), expected)
    for other in ("conv:8k5,dp/dense:15", "conv:8,8p/dense:15", "conv:8,dp", "conv:2,dp/dense:15"):
        with pytest.raises(FormatError, match="does not fit"):
            widen.widen(source, net_of(other), torch.Generator())


def vectors(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """int8 vectors of three classes that differ in four features."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    x = rng.integers(-40, 41, (count, 12))
    x[np.arange(count), 3 * labels] += 70
    return x.astype(np.int8), labels


@pytest.mark.program
def test_vectors_are_trained_on_and_held_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    x, y = vectors(200, 0)
    np.savez("mine.npz", x=x, y=y, classes=["red", "green", "blue"])
    options = {"net": "dense:16", "data": "mine.npz", "epochs": "8", "batch": "16"}
    said = run_training(**options)
    assert (
        "the images for tests, every fifth of the data: build/train/dense-16/held-out.npz" in said
    )
    assert "160 images to train with, 40 for tests" in capsys.readouterr().err
    assert run_training(**options) == said
    net = load_net("build/train/dense-16")
    assert (net.spec.class_names, net.spec.takes_int8) == (("red", "green", "blue"), True)
    export_run("build/train/dense-16", name="mine")
    model = load("build/dense-16.mtjb")
    assert (model.name, model.class_names) == ("mine", ["red", "green", "blue"])
    run = Path("build/train/dense-16")
    held = load_images(run / "held-out.npz", model)
    whole = load_images("mine.npz", model)
    assert "trained on four fifths of the 200 images" in trained_on(run, whole)
    assert "trained on all of the 160 images" in trained_on(run, parted(whole, whole.labels)[0])
    assert trained_on(run, held) == trained_on(Path("build/dense-16.mtjb"), whole) == ""
    scores, _ = open_simulator(model).run(held.images)
    right = np.mean(scores.argmax(axis=1) == held.labels)
    assert f"test accuracy {100 * right:.2f} %" in said
    assert right > 0.8
    assert len(held) == 40
    rows = {row.tobytes() for row in load_parts("mine.npz").train.images}
    assert not rows & {row.tobytes() for row in held.images}

    np.savez("mine.npz", x=x[::-1], y=y[::-1], classes=["red", "green", "blue"])
    with pytest.raises(ConfigError, match="another data_sha256; use the same settings"):
        run_training(**options)


def test_images_in_both_parts_are_said(tmp_path: Path) -> None:
    x = np.random.default_rng(1).integers(0, 256, (20, 4, 4), np.uint8)
    np.savez(
        tmp_path / "data.npz", x_train=x[:12], y_train=[0, 1] * 6, x_test=x[9:], y_test=[0] * 11
    )
    parts = load_parts(tmp_path / "data.npz")
    assert "3 of 11 images for tests are among those to train with" in parts.test.remarks[-1]
    np.savez(tmp_path / "data.npz", x=np.repeat(x, 2, axis=0), y=[0, 1] * 20)
    assert "of 8 images for tests are among" in load_parts(tmp_path / "data.npz").test.remarks[-1]


def test_pictures_are_taken_with_the_classes_of_the_training_part(tmp_path: Path) -> None:
    x, y = vectors(60, 1)
    file = tmp_path / "parts.npz"
    pixels = (x.astype(int) + 128).astype(np.uint8).reshape(-1, 4, 3)
    np.savez(file, x_train=pixels[:40], y_train=y[:40], x_test=pixels[40:], y_test=y[40:])
    config, parts = parse_training(net="conv:4k1p/dense:4", data=str(file))
    assert (len(parts.train), len(parts.test), parts.held_out) == (40, 20, False)
    assert (config.net.input_shape, config.net.classes) == ((4, 3, 1), 3)
    assert (config.augment, config.net.class_names, config.net.takes_int8) == ("none", (), False)


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"x": 0}, {}, "no labels, and a net is trained by them"),
        ({"x": 0, "y": 0, "few": 9}, {}, "9 images are too few to train with"),
        ({"x": 0, "y": 0}, {"net": "conv:8k1p"}, "layer 0: 1 x 1 sums are too few for pooling"),
        ({"x": 0, "y": 0}, {"net": "binary-small"}, "binary-small: layer 1: 1 x 1 sums"),
        ({"x": 0, "y": 0}, {"net": "dense:x"}, "'x' is not a number of units"),
        ({"x": 0, "y": 0}, {"augment": "rotate"}, "--augment"),
        ({"x": 0, "y": 0}, {"shape": "28"}, "--shape '28': height x width x channels"),
        ({"x": 0, "y": 0}, {"train_ber": "0.1,0.1"}, "one for each of the 1 hidden layers"),
    ],
)
def test_what_cannot_be_trained_is_one_line(
    tmp_path: Path, arrays: dict[str, int], options: dict[str, str], message: str
) -> None:
    x, y = vectors(arrays.get("few", 50), 0)
    file = tmp_path / "mine.npz"
    np.savez(file, **{name: array for name, array in (("x", x), ("y", y)) if name in arrays})
    with pytest.raises(ConfigError) as caught:
        parse_training(**{"net": "dense:8", "data": str(file), **options})  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("augment", "moved", "mirrored"), [
    ("none", False, False), ("flip", False, True), ("crop", True, False), ("crop,flip", True, True),
])  # fmt: skip
def test_images_are_varied_as_told(augment: str, moved: bool, mirrored: bool) -> None:
    images = torch.arange(1, 97, dtype=torch.uint8).reshape(2, 8, 6, 1)
    pad = 4 if moved else 0
    plan = torch.from_numpy(epoch_plan(2, 2, 0, 1, augment))
    plans = [torch.from_numpy(epoch_plan(2, 2, 0, epoch, augment)) for epoch in range(1, 9)]
    assert any(p[:, 1:3].ne(pad).any() for p in plans) == moved
    assert any(p[:, 3].any() for p in plans) == mirrored
    cut = crop_and_flip(pad_images(images, pad), plan[0], pad)
    assert cut.shape == images.shape
    if augment == "none":
        assert torch.equal(cut, images[plan[0, 0].long()])
