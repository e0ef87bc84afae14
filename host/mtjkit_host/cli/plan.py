"""Commands about short pulses for a net: thresholds for write errors, a pulse for each layer."""

from __future__ import annotations

from typing import Any

from invoke.context import Context

from mtjkit_host.cli.command import RUN_HELP, command

_SHARED = {name: RUN_HELP[name] for name in ("data", "images", "errors", "seed")}


@command(
    positional=["model"],
    help={
        "model": "model file (.mtjb), or a carried one",
        "output": "file for the calibrated model (.mtjb)",
        "write-error-rate": RUN_HELP["write-error-rate"],
        "plan": "a plan whose rates and kind of errors to calibrate for",
        "cells-before": RUN_HELP["cells-before"],
        **_SHARED,
    },
)
def calibrate(
    c: Context,
    model: str,
    output: str | None = None,
    data: str | None = None,
    images: str | None = None,
    write_error_rate: str | None = None,
    errors: str | None = None,
    plan: str | None = None,
    seed: str | None = None,
    cells_before: str | None = None,
) -> Any:
    """Set a model's thresholds for a memory with write errors, without labels or training."""
    from mtjkit_host.plan.command import run_calibrate

    return run_calibrate(
        model, output, data, images, write_error_rate, errors, plan, seed, cells_before
    )


@command(
    help={
        "model": "model file (.mtjb), or a carried one",
        "output": "file for the plan (.toml); a changed model is written beside it",
        "loss": "accepted loss, a share of the error-free accuracy; default 0.03",
        "weight-loss": "part of the loss that errors in the weights may take: they get pulses too",
        "levers": "rank what else would save energy: schemes, signs, current, Delta, calibration",
        "calibrate": "set the thresholds for the plan's errors",
        "polarity": "first store channels that are mostly 1 with the other sign: fewer bits toggle",
        "confident": "leave room for the loss's whole 95 % interval within the accepted one",
        "cell": RUN_HELP["cell"],
        "scheme": "write scheme; default fixed. directions: a pulse for each layer and direction",
        "cells-before": RUN_HELP["cells-before"],
        "reference": "model whose error-free accuracy the loss counts from; default the model "
        "itself",
        **_SHARED,
    },
)
def plan(
    c: Context,
    model: str | None = None,
    output: str | None = None,
    data: str | None = None,
    images: str | None = None,
    loss: str | None = None,
    errors: str | None = None,
    calibrate: bool = False,
    cell: str | None = None,
    scheme: str | None = None,
    seed: str | None = None,
    reference: str | None = None,
    weight_loss: str | None = None,
    levers: bool = False,
    polarity: bool = False,
    confident: bool = False,
    cells_before: str | None = None,
) -> Any:
    """Find the pulse widths, layer by layer, that cost least for an accepted loss."""
    from mtjkit_host.plan.command import run_plan

    tables = run_plan(
        model, output, data, images, loss, errors, calibrate, cell, scheme, seed, reference,
        weight_loss, levers, polarity, confident, cells_before,
    )  # fmt: skip
    return tuple(tables)


@command(
    help={
        "model": RUN_HELP["model"],
        "data": RUN_HELP["data"],
        "images": "how many pictures the page has; default at most 500",
        "cell": "an MTJ cell to choose from besides those that are there",
        "scheme": "how its cells are written; default fixed",
        "output": "the page (.html); default build/NET-explorer.html",
    },
)
def explore(
    c: Context,
    model: str | None = None,
    data: str | None = None,
    images: str | None = None,
    cell: str | None = None,
    scheme: str | None = None,
    output: str | None = None,
) -> Any:
    """Write a page in which the net runs: drag the pulse width, see what goes wrong."""
    from mtjkit_host.explore.command import run_explore

    return run_explore(model, data, images, cell, scheme, output)


COMMANDS = (calibrate, plan, explore)
