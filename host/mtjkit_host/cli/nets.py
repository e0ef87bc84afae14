"""Commands about networks: train one, turn it into a deployable file, look into a file."""

from __future__ import annotations

from typing import Any

from invoke.context import Context

from mtjkit_host.cli.command import command


@command(
    help={
        "net": "binary, binary_x3, fxp8, fxp16 or fxp32, and -paper, -half, -small or -tiny; or a "
        "shape such as conv:32,32p/dense:128 (docs/networks.md)",
        "data": "images or vectors with labels: a file or a folder of any kind (docs/runs.md), or "
        "cifar-10, which is fetched",
        "shape": "height x width x channels that pictures are scaled to; default their own, for "
        "binary-small and its like 32x32x3",
        "run": "folder for checkpoints, log and plot; default build/train/NET",
        "epochs": "length of the schedule; default 60",
        "batch": "images a step; default 128",
        "lr": "peak learning rate; default 0.01 for binary nets, 0.001 for fixed point",
        "seed": "seed of weights, order and augmentation; default 0",
        "threads": "torch's threads; default its own choice",
        "precision": "auto (default), float32 or bfloat16",
        "device": "auto (default: a GPU where there is one), cpu or cuda",
        "preset": "plain (binary nets' default) or spread (fixed point's: weights fill their "
        "range, so that wrong bits in them matter less)",
        "augment": "none, crop, flip or crop,flip: how images are varied; default crop,flip for "
        "CIFAR's, none for others",
        "train-ber": "error rate of feature-map writes while training (binary nets): one for all "
        "hidden layers, or one for each, with commas",
        "errors": "flip (default) or keep, while training",
        "cells-before": "what cells hold before an image while training: erased (default) or "
        "random bits; only keep errors hang on it",
        "limit-s": "seconds after which it stops, at an epoch's end; the same command goes on",
        "save-every": "epochs from one checkpoint to the next; default 1",
        "start-from": "run folder of a net whose weights to start from; a narrower one is widened",
    }
)
def train(
    c: Context,
    data: str | None = None,
    net: str = "binary-small",
    run: str | None = None,
    shape: str | None = None,
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
) -> Any:
    """Train a network on your data; the same command resumes after a stop (needs torch)."""
    from mtjkit_core.errors import ConfigError

    if data is None:
        raise ConfigError(
            "--data names what to train on: images or vectors with labels, in a file or a folder "
            "of any kind, or cifar-10, which is fetched"
        )
    from mtjkit_host.train.command import run_training

    return run_training(
        net=net,
        data=data,
        run=run,
        shape=shape,
        epochs=epochs,
        batch=batch,
        lr=lr,
        seed=seed,
        threads=threads,
        precision=precision,
        device=device,
        preset=preset,
        augment=augment,
        train_ber=train_ber,
        errors=errors,
        cells_before=cells_before,
        limit_s=limit_s,
        save_every=save_every,
        start_from=start_from,
    )


@command(
    help={
        "run": "folder of a training run; default build/train/binary-small, or the carried net "
        "where there is no such run",
        "output": "file to write; default build/NET.FORMAT",
        "name": "name stored in an .mtjb or .safetensors file; default the net's",
        "best": "take the epoch with the best test accuracy instead of the last one",
        "format": "mtjb (binary nets), safetensors (fixed-point nets) or tflite (the Fxp8 net, "
        "int8); default the first that holds the net",
        "polarity": "data set whose pictures choose the sign with which each channel is stored, so "
        "that fewer ones are written; no score changes (.mtjb)",
        "model": "with --polarity: a model file, or a carried one's name, in place of a run",
        "weight_percentile": "fixed-point nets: scale each layer so that this percentile of its "
        "weights becomes 1, which makes wrong weight bits matter less; 99 costs little accuracy",
    }
)
def export(
    c: Context,
    run: str | None = None,
    output: str | None = None,
    name: str | None = None,
    best: bool = False,
    format: str | None = None,
    weight_percentile: str | None = None,
    polarity: str | None = None,
    model: str | None = None,
) -> Any:
    """Turn a trained net into a deployable file: bit-packed, or TFLite (needs torch)."""
    from mtjkit_host.cli.carried import DEFAULT_RUN, export_carried, is_run

    if polarity is not None and model is None and run is None and not is_run(DEFAULT_RUN):
        model = "binary-small"
    if model is not None:
        from mtjkit_core.errors import ConfigError

        from mtjkit_host.runs.model_path import model_path
        from mtjkit_host.simulate.polarity import export_with_fewer_ones

        if polarity is None or any((run, name, best, format, weight_percentile)):
            raise ConfigError("--model goes with --polarity and --output alone")
        source = model_path(model)
        return export_with_fewer_ones(source, output or f"build/{source.name}", polarity)
    if run is None and not is_run(DEFAULT_RUN):
        return export_carried(output, name, best, format, weight_percentile)
    from mtjkit_host.train.command import export_run

    run = run or str(DEFAULT_RUN)
    return export_run(run, output, name, best, format, weight_percentile, polarity)


@command(positional=["model"], help={"model": "model file (.mtjb), or a carried one's name"})
def info(c: Context, model: str) -> Any:
    """Print a model's size by layer, RAM on the device, MACs, bits written for an image."""
    from mtjkit_export.cost import summary
    from mtjkit_export.formats.mtjb_reader import load

    from mtjkit_host.boards.catalog import processors
    from mtjkit_host.runs.model_path import model_path

    return summary(load(model_path(model)), processors().values())


@command(
    name="import",
    positional=["file"],
    help={
        "file": ".onnx (QONNX, Brevitas, FINN or plain signs), .h5 or .keras (Keras, larq), "
        ".npz (arrays), or a folder of FINN's parameters (0-0-weights.bin ...)",
        "output": "model file to write; default build/NAME.mtjb",
        "name": "name stored in the model; default the file's",
        "input": "what the network takes for a byte p, if its file does not say: unit (p / 255), "
        "bytes (p), signed (p / 127.5 - 1), int8 (data as they are), or "
        "mean=A/B/C,std=A/B/C",
        "shape": "height x width x channels of the images, if the network takes a vector",
        "classes": "class names: a text file with one in each line, or with commas",
        "sign-of-zero": "plus or minus: what sign(0) counts as, where a sum can be exactly 0",
        "binarize": "take the signs of weights that are not binarized",
        "check": "data to check with, besides random images: all scores must be equal",
        "images": "how many of them; default all",
    },
)
def import_(
    c: Context,
    file: str,
    output: str | None = None,
    name: str | None = None,
    input: str | None = None,
    shape: str | None = None,
    classes: str | None = None,
    sign_of_zero: str | None = None,
    binarize: bool = False,
    check: str | None = None,
    images: str | None = None,
) -> Any:
    """Turn a binarized network of another tool into a model file, checked score by score."""
    from mtjkit_host.importing.command import import_net

    return import_net(
        file,
        output,
        name=name,
        input=input,
        shape=shape,
        classes=classes,
        sign_of_zero=sign_of_zero,
        binarize=binarize,
        data=check,
        images=images,
    )


COMMANDS = (train, export, import_, info)
