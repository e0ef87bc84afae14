"""Training and export from the strings of a command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_export.cost import summary
from mtjkit_export.files import check_writable, write_atomically
from mtjkit_export.formats.mtjb_writer import encode
from mtjkit_export.formats.safetensors import save_fixed
from mtjkit_export.needs import needs
from mtjkit_export.texts import file_name

from mtjkit_host import parse
from mtjkit_host.boards.catalog import processors
from mtjkit_host.machine import tell
from mtjkit_host.paths import TRAINED
from mtjkit_host.runs.options import CELLS_BEFORE, KINDS
from mtjkit_host.simulate.polarity import with_fewer_ones
from mtjkit_host.train.architectures import NetSpec, parse_net
from mtjkit_host.train.augment import AUGMENTS
from mtjkit_host.train.config import (
    DEVICES,
    PRECISIONS,
    PRESETS,
    TrainConfig,
    recommended,
)
from mtjkit_host.train.data import Parts, load_parts
from mtjkit_host.train.lower import fold, fold_fixed
from mtjkit_host.train.scale_weights import scale_weights
from mtjkit_host.train.state import load_net
from mtjkit_host.train.trainer import train

FORMATS = ("mtjb", "safetensors", "tflite")


def run_training(
    *,
    net: str,
    data: str,
    run: str | None = None,
    shape: str | None = None,
    **options: str | None,
) -> str:
    """Train a net on data, or go on with the run that the folder holds; all options as typed.

    Where the data have no part for tests, the images that were held out for them are written beside
    the checkpoints.

    Args:
        net: a preset, or a shape: `mtjkit_host.train.architectures.parse_net`.
        data: a path, or the name of a data set.
        run: folder for checkpoints; default build/train/NET.
        shape: height x width x channels that pictures are scaled to.
        options: see `parse_options`.

    Returns:
        What was reached, as text.

    Raises:
        ConfigError, FormatError, LinkError: as `parse_training` and `train`.
    """
    config, parts = parse_training(net=net, data=data, run=run, shape=shape, **options)
    for remark in dict.fromkeys((*parts.train.remarks, *parts.test.remarks)):
        tell(remark)
    tell(f"{len(parts.train)} images to train with, {len(parts.test)} for tests")
    result = train(config, parts)
    unit = "epoch" if result.epochs == 1 else "epochs"
    said = (
        f"{result.epochs} {unit}, test accuracy {100 * result.test_accuracy:.2f} %\n"
        f"checkpoints, log and plot: {result.run_dir}"
    )
    if parts.held_out:
        file = config.run_dir / "held-out.npz"
        write_atomically(file, parts.held_out_npz())
        said += f"\nthe images for tests, every fifth of the data: {file}"
    return said


def parse_training(
    *,
    net: str,
    data: str,
    run: str | None = None,
    shape: str | None = None,
    **options: str | None,
) -> tuple[TrainConfig, Parts]:
    """Check options as typed, read the data, and fit the net to them; see `run_training`.

    Raises:
        ConfigError: one line that names the option and says what it takes; the net does not fit
            the data.
        FormatError, LinkError: as `mtjkit_host.train.data.load_parts`.
    """
    layers = parse_net(net)
    values = parse_options(layers[1] == 1, **options)
    scaled = None if shape is None else parse.image_shape("--shape", shape)
    if scaled is None and ":" not in net:
        scaled = (32, 32, 3)
    parts = load_parts(data, scaled)
    spec = NetSpec(*layers, **parts.of_net())
    values.setdefault("augment", "crop,flip" if parts.is_cifar else "none")
    config = TrainConfig(
        net=spec,
        data=Path(data),
        run_dir=Path(run) if run else TRAINED / spec.name,
        data_sha256="" if parts.is_cifar else parts.train.sha256,
        **values,
    )
    return config, parts.fitted(spec)


def parse_options(
    binary: bool,
    *,
    epochs: str | None = None,
    batch: str | None = None,
    lr: str | None = None,
    seed: str | None = None,
    threads: str | None = None,
    precision: str | None = None,
    device: str | None = None,
    preset: str | None = None,
    augment: str | None = None,
    train_ber: str | None = None,
    errors: str | None = None,
    cells_before: str | None = None,
    limit_s: str | None = None,
    save_every: str | None = None,
    start_from: str | None = None,
) -> dict[str, Any]:
    """Check the options that do not depend on the data; None where one was not given.

    Without ``preset`` and ``lr`` they are `recommended` for a binary net or a fixed-point one.

    Returns:
        Fields of `TrainConfig`.

    Raises:
        ConfigError: one line that names the option and says what it takes.
    """
    values: dict[str, Any] = recommended(binary, preset)
    if epochs is not None:
        values["epochs"] = parse.whole("--epochs", epochs, 1, 10**6)
    if batch is not None:
        values["batch"] = parse.whole("--batch", batch, 2, 10**5)
    if lr is not None:
        values["peak_lr"] = parse.number("--lr", lr)
    if seed is not None:
        values["seed"] = parse.whole("--seed", seed, 0, 2**63 - 1)
    if threads is not None:
        values["threads"] = parse.whole("--threads", threads, 0, 1024)
    for option, text, choices in (
        ("precision", precision, PRECISIONS),
        ("device", device, DEVICES),
        ("preset", preset, PRESETS),
        ("augment", augment, tuple(AUGMENTS)),
        ("errors", errors, tuple(KINDS)),
        ("cells_before", cells_before, tuple(CELLS_BEFORE)),
    ):
        if text is not None:
            values[option] = parse.choice(f"--{option.replace('_', '-')}", text, choices)
    if train_ber is not None:
        values["train_ber"] = tuple(
            parse.rate("--train-ber", rate) for rate in train_ber.split(",")
        )
    if limit_s is not None:
        values["limit_s"] = parse.number("--limit-s", limit_s)
    if save_every is not None:
        values["save_every"] = parse.whole("--save-every", save_every, 1, 10**6)
    if start_from is not None:
        values["start_from"] = Path(start_from)
    return values


def export_run(
    run: str,
    output: str | None = None,
    name: str | None = None,
    best: bool = False,
    format: str | None = None,
    weight_percentile: str | None = None,
    polarity: str | None = None,
) -> str:
    """Write a training run's net as a deployable file.

    Args:
        run: folder of the run.
        output: file to write; default build/NET.FORMAT.
        name: stored in an .mtjb or .safetensors file; default the net's own.
        best: take the epoch with the best test accuracy instead of the last one.
        format: mtjb (binary nets), safetensors (fixed-point nets) or tflite (the Fxp8 net, int8);
            default the first that holds the net.
        weight_percentile: of a fixed-point net's weights in each layer, scaled to 1:
            `mtjkit_host.train.scale_weights.scale_weights`.
        polarity: data set that chooses each channel's sign: `mtjkit_host.simulate.polarity`.

    Returns:
        What was written, as text.

    Raises:
        ConfigError, FormatError: the run holds no net of this format, or the file cannot be
            written.
    """
    if format is not None:
        parse.choice("--format", format, FORMATS)
    net = load_net(Path(run), "best" if best else "last")
    if weight_percentile is not None:
        scale_weights(net, parse.number("--weight-percentile", weight_percentile))
    format = format or ("mtjb" if net.spec.binary else "safetensors")
    path = Path(output or f"build/{file_name(net.spec.name)}.{format}")
    check_writable(path)
    if format == "mtjb":
        if not net.spec.binary:
            raise ConfigError(
                f"{net.spec.name} is not a binary net, and a .mtjb file holds only binary nets; "
                "take --format safetensors"
            )
        model, words = Model(encode(fold(net, name))), ""
        if polarity is not None:
            model, words = with_fewer_ones(model, polarity)
        write_atomically(path, bytes(model.data))
        said = f"{words}\n" if words else ""
        return f"{summary(model, processors().values())}\n{said}wrote {path}"
    if polarity is not None:
        raise ConfigError("--polarity is for binary nets (--format mtjb)")
    fixed = fold_fixed(net, name)
    if format == "tflite":
        with needs("tflite"):
            from mtjkit_export.formats.tflite.convert import export_tflite

        size = len(export_tflite(fixed, path))
    else:
        size = save_fixed(fixed, path)
    return f"wrote {path}, {size:,} bytes"
