"""The nets that a campaign simulates: where they are found, how they are loaded."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_export.formats.mtjb_reader import load
from mtjkit_export.formats.mtjb_writer import encode
from mtjkit_export.formats.safetensors import encode_fixed, load_fixed
from mtjkit_export.needs import needs
from mtjkit_export.nets.fixed import FixedNet

from mtjkit_host.datasets.dataset import Dataset, parted
from mtjkit_host.paths import CARRIED, IS_CHECKOUT, OTHER_NAMES, TRAINED


def find_net(models: Sequence[str], folders: Sequence[Path], beside: Path | None = None) -> Path:
    """Return the file or run folder of a campaign's net.

    Args:
        models: each a path, or a name that is looked for in `folders`: ``<name>.mtjb``,
            ``<name>.safetensors``, or a trainer's run folder ``<name>``. The first that is there.
        folders: in this order; after them the trainer's and that of the carried nets.
        beside: the folder that paths are relative to, which is searched first; None for the
            current one alone.

    Raises:
        ConfigError: there is none.
    """
    folders = [*([] if beside is None else [beside]), Path(), *folders, TRAINED, CARRIED]
    for name in models:
        model = os.path.expanduser(name)
        for folder in folders:
            for path in (folder / model, folder / f"{model}.mtjb", folder / f"{model}.safetensors"):
                if os.path.isfile(path) or os.path.isfile(path / "last.json"):
                    return path
        if model in OTHER_NAMES:
            return CARRIED / f"{OTHER_NAMES[model]}.mtjb"
    places = ", ".join(dict.fromkeys(os.path.relpath(folder) for folder in folders))
    more = "" if IS_CHECKOUT else " (the wheel mtjkit-nets brings the larger carried nets)"
    raise ConfigError(f"no {' or '.join(models)} in {places}; train it, or name its file{more}")


def training_note(path: Path) -> str:
    """Say how far a trainer's run folder has come; nothing for a file."""
    try:
        state = json.loads((path / "last.json").read_bytes())
        done, planned = len(state["history"]), state["config"]["epochs"]
        return f"{done} epochs of training" + ("" if done >= planned else f", {planned:d} planned")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def trained_on(path: Path, data: Dataset) -> str:
    """A remark where a trainer's run folder was trained on the images; nothing where not known.

    Args:
        path: the folder, or a file, which does not say what its net was trained on.
        data: the images, as the net takes them.
    """
    try:
        sha256 = json.loads((path / "last.json").read_bytes())["config"]["data_sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    if not sha256 or data.labels is None:
        return ""
    parts = {"all": data, "four fifths": parted(data, data.labels)[0]}
    for share, part in parts.items():
        if part.sha256 == sha256:
            return (
                f"{path}: trained on {share} of the {len(data)} images of {data.source}, so its "
                "accuracy says little of new images; the images that were held out are in its "
                "folder (held-out.npz)"
            )
    return ""


def load_net(path: Path) -> Model | FixedNet:
    """Load a net: a .mtjb model, a fixed-point .safetensors file, or a trainer's run folder.

    Raises:
        ConfigError, FormatError: the net cannot be used.
    """
    if path.suffix == ".mtjb":
        return load(path)
    if path.is_file():
        return load_fixed(path)
    with needs("train", str(path)):
        from mtjkit_host.train import load_net as load_trained
        from mtjkit_host.train.lower import fold, fold_fixed
    net = load_trained(path)
    return Model(encode(fold(net))) if net.spec.binary else fold_fixed(net)


def sha256_of(net: Model | FixedNet) -> str:
    """SHA-256 of the net's file."""
    data = encode_fixed(net) if isinstance(net, FixedNet) else net.data
    return hashlib.sha256(data).hexdigest()
