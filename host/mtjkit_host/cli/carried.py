"""`export` where nothing has been trained: the carried net, which needs no torch."""

from __future__ import annotations

from pathlib import Path

from mtjkit_core.errors import ConfigError

from mtjkit_host.paths import CARRIED_MODEL, TRAINED

DEFAULT_RUN = TRAINED / "binary-small"
"""The run that `export` takes where none is named."""


def is_run(folder: Path) -> bool:
    """Whether a folder holds a training run's checkpoint."""
    return (folder / "last.json").is_file()


def export_carried(output: str | None, *for_runs: object) -> str:
    """Write the carried net as a model file, and say how to train one's own.

    Args:
        output: file to write; default build/binary-small.mtjb.
        for_runs: values of the options that only a training run can honour.

    Returns:
        What was written, as text.

    Raises:
        ConfigError: one of these options is given, or the file cannot be written.
    """
    from mtjkit_export.cost import summary
    from mtjkit_export.files import write_atomically
    from mtjkit_export.formats.mtjb_reader import load

    if any(value not in (None, False, "mtjb") for value in for_runs):
        raise ConfigError(f"{DEFAULT_RUN}: no training run here; {_advice()}")
    model = load(CARRIED_MODEL)
    path = Path(output or f"build/{CARRIED_MODEL.name}")
    write_atomically(path, bytes(model.data))
    return (
        f"{summary(model)}\n"
        f"wrote {path}: the carried net, as there is no training run in {DEFAULT_RUN}\n"
        f"{_advice()}"
    )


def _advice() -> str:
    trained = sorted(folder for folder in TRAINED.glob("*") if is_run(folder))
    if trained:
        return f"name one of your runs with --run {' or '.join(map(str, trained))}"
    return "train a net of your own: train --net binary-small --data cifar-10-batches-bin"
