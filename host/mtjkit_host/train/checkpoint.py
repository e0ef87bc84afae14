"""Checkpoints: tensors as safetensors, everything else as JSON, no pickle.

``<tag>.json`` names the tensor file that belongs to it, and is replaced atomically after that
file is complete. So a kill at any moment leaves the old pair or the new one, never half of each.
The tags are ``last`` (with the optimizer's state, to resume from) and ``best`` (the net alone).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_export.files import write_atomically
from safetensors.torch import load_file, save
from torch import Tensor

from mtjkit_host.parse import shown

_VERSION = 1
_MAX_RECORD = 1 << 22  # bytes; an epoch takes 200


def save_checkpoint(
    folder: Path, tag: str, epoch: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]
) -> None:
    """Write the checkpoint ``tag`` of ``folder`` and remove the one it replaces.

    Args:
        folder: the run's.
        tag: ``last`` or ``best``.
        epoch: number of the epoch that has ended.
        tensors: name -> tensor, on any device.
        state: what else there is, JSON values only.

    Raises:
        ConfigError: the folder cannot be written.
    """
    name = f"{tag}-{epoch:04d}.safetensors"
    plain = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    write_atomically(folder / name, save(plain))
    record = {"version": _VERSION, "tensors": name, "epoch": epoch, **state}
    write_atomically(folder / f"{tag}.json", json.dumps(record, indent=1).encode() + b"\n")
    for old in folder.glob(f"{tag}-[0-9]*.safetensors"):
        if old.name != name:
            old.unlink(missing_ok=True)


def has_checkpoint(folder: Path, tag: str = "last") -> bool:
    """Return whether ``folder`` holds the checkpoint ``tag``."""
    return (folder / f"{tag}.json").is_file()


def load_checkpoint(folder: Path, tag: str = "last") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the checkpoint ``tag`` of ``folder``: its tensors (on the CPU) and its JSON record.

    Raises:
        ConfigError: there is none.
        FormatError: it is damaged, or of another version.
    """
    path = folder / f"{tag}.json"
    try:
        with path.open("rb") as file:
            state = json.loads(file.read(_MAX_RECORD))
    except FileNotFoundError:
        raise ConfigError(f"{folder}: no checkpoint {tag}.json here; train a net first") from None
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{path}: not a readable checkpoint ({error})") from error
    if not isinstance(state, dict) or state.get("version") != _VERSION:
        raise FormatError(f"{path}: not a checkpoint of version {_VERSION}; train the net again")
    name = state.get("tensors")
    if not isinstance(name, str) or Path(name).name != name:
        raise FormatError(f"{path}: names no tensor file in its own folder; train the net again")
    try:
        return load_file(folder / name), state
    except (OSError, safetensors.SafetensorError) as error:
        what = f"{path}: damaged or missing tensors {shown(name)}"
        raise FormatError(f"{what} ({shown(str(error), 100)})") from error
