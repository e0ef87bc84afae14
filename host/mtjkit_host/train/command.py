"""Training and export from the strings of a command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_export.cost import summary
from mtjkit_export.formats.mtjb_writer import save
from mtjkit_export.formats.safetensors import save_fixed
from mtjkit_export.needs import needs

from mtjkit_host import parse
from mtjkit_host.boards.catalog import processors
from mtjkit_host.train.architectures import NetSpec
from mtjkit_host.train.config import (
    DEVICES,
    ERRORS,
    PRECISIONS,
    PRESETS,
    TrainConfig,
    recommended,
)
from mtjkit_host.train.lower import fold, fold_fixed
from mtjkit_host.train.scale_weights import scale_weights
from mtjkit_host.train.state import load_net

FORMATS = ("mtjb", "safetensors", "tflite")


def parse_training(
    *,
    net: str,
    data: str,
    run: str | None = None,
    epochs: str | None = None,
    batch: str | None = None,
    lr: str | None = None,
    seed: str | None = None,
    threads: str | None = None,
    precision: str | None = None,
    device: str | None = None,
    preset: str | None = None,
    train_ber: str | None = None,
    errors: str | None = None,
    limit_s: str | None = None,
    save_every: str | None = None,
    start_from: str | None = None,
) -> TrainConfig:
    """Check options as typed; None where one was not given.

    Without ``preset`` and ``lr`` they are `recommended` for the net.

    Raises:
        ConfigError: one line that names the option and says what it takes.
    """
    spec = NetSpec.named(net)
    values: dict[str, Any] = recommended(spec, preset)
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
    if precision is not None:
        values["precision"] = parse.choice("--precision", precision, PRECISIONS)
    for option, text, choices in (
        ("device", device, DEVICES),
        ("preset", preset, PRESETS),
        ("errors", errors, ERRORS),
    ):
        if text is not None:
            values[option] = parse.choice(f"--{option}", text, choices)
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
    return TrainConfig(
        net=spec,
        data=Path(data),
        run_dir=Path(run or f"build/train/{net}"),
        **values,
    )


def export_run(
    run: str,
    output: str | None = None,
    name: str | None = None,
    best: bool = False,
    format: str | None = None,
    weight_percentile: str | None = None,
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
    path = Path(output or f"build/{net.spec.name}.{format}")
    if format == "mtjb":
        if not net.spec.binary:
            raise ConfigError(
                f"{net.spec.name} is not a binary net, and a .mtjb file holds only binary nets; "
                "take --format safetensors"
            )
        model = Model(save(fold(net, name), path))
        return f"{summary(model, processors().values())}\nwrote {path}"
    fixed = fold_fixed(net, name)
    if format == "tflite":
        with needs("tflite"):
            from mtjkit_export.formats.tflite.convert import export_tflite

        size = len(export_tflite(fixed, path))
    else:
        size = save_fixed(fixed, path)
    return f"wrote {path}, {size:,} bytes"
