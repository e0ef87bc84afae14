"""Which kind of data set lies at a path, and reading it."""

from __future__ import annotations

import zipfile
from pathlib import Path

from mtjkit_core.errors import ConfigError

from mtjkit_host.datasets import cifar10, cifar100, fetch
from mtjkit_host.datasets.arrays import load_npy, load_npz
from mtjkit_host.datasets.dataset import Dataset, Labels
from mtjkit_host.datasets.foreign import what_it_is
from mtjkit_host.datasets.idx import find_idx, is_idx, load_idx
from mtjkit_host.datasets.pictures import find_pictures, load_pictures

KINDS = (
    "CIFAR's binary files, idx files, .npz or .npy arrays, labels.csv, or pictures (PNG, JPEG, "
    "PPM, PGM, BMP, WebP) in folders by class"
)
"""What can be read, in words."""

_PARTS = {"test": ("test", "val", "valid", "validation"), "train": ("train", "training")}


def load_dataset(
    path: str | Path,
    *,
    shape: tuple[int, int, int] | None = None,
    count: int | None = None,
    seed: int = 0,
    split: str = "test",
) -> Dataset:
    """Load images and labels of any known kind, as they lie in their files.

    Args:
        path: a file or a folder of one of `KINDS`, or the name of a data set that is fetched
            (`mtjkit_host.datasets.fetch.ARCHIVES`).
        shape: (height, width, 1 or 3) that pictures are scaled to; None for their own size, which
            must be the same for all.
        count: how many images, drawn evenly over the classes; of CIFAR's files, whose order is
            random, and where there are no labels, the first ones. None for all.
        seed: of the draw, 0 or more.
        split: ``test`` or ``train``, where the files hold both; a file that holds one part only is
            that part.

    Raises:
        ConfigError: nothing usable is there, or there are fewer images than `count`.
        FormatError: a file is damaged.
        LinkError: a data set cannot be fetched.
    """
    path = fetch.fetched(str(path)) if fetch.is_named(path) else Path(path)
    if not path.exists():
        raise ConfigError(f"{path}: no such file or folder; --data takes {KINDS}")
    _refuse_pickles(path)
    _refuse_foreign(path)
    found = _load_file(path, split) if path.is_file() else _load_folder(path, split)
    if found is not None:
        return found.take(count, seed)
    pictures = find_pictures(_part(path, split))
    if pictures is None:
        raise ConfigError(f"{path}: holds nothing that can be read; --data takes {KINDS}")
    return load_pictures(pictures, shape, count, seed)


def has_train_part(path: Path) -> bool:
    """Whether a folder or an .npz file holds images for training beside those for tests."""
    if path.is_dir():
        idx = (find_idx(path, "train"), find_idx(path, "test"))
        return (
            _cifar10_folder(path) is not None
            or _cifar100_folder(path) is not None
            or (None not in idx and idx[0] != idx[1])
            or (path / "x_train.npy").is_file()
            or _part(path, "train") != path
        )
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return False
    return bool(names & {"x_train", "train_images"})


def _load_file(path: Path, split: str) -> Dataset | None:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return load_npz(path, split)
    if suffix == ".npy":
        return load_npy(path)
    if suffix == ".bin":
        return _load_bin(path)
    if is_idx(path):
        return load_idx(path)
    return None


def _load_bin(file: Path) -> Dataset:
    size = file.stat().st_size
    named100 = (
        file.name in ("test.bin", "train.bin") or (file.parent / cifar100.NAMES_FILE).is_file()
    )
    if size % cifar100.RECORD_BYTES == 0 and (named100 or size % cifar10.RECORD_BYTES):
        images, labels, classes = cifar100.load(file)
        return _cifar(images, labels, classes, f"CIFAR-100's file {file}")
    return _cifar(*cifar10.load_test(file), cifar10.CLASSES, f"CIFAR-10's file {file}")


def _load_folder(path: Path, split: str) -> Dataset | None:
    folder = _cifar10_folder(path)
    if folder is not None:
        load = cifar10.load_test if split == "test" else cifar10.load_train
        return _cifar(*load(folder), cifar10.CLASSES, f"CIFAR-10's {split} images in {folder}")
    folder = _cifar100_folder(path)
    if folder is not None:
        images, labels, classes = cifar100.load(folder / f"{split}.bin")
        return _cifar(images, labels, classes, f"CIFAR-100's {split} images in {folder}")
    file = find_idx(path, split)
    if file is not None:
        return load_idx(file)
    for name in (f"x_{split}.npy", "x.npy"):
        if (path / name).is_file():
            return load_npy(path / name)
    archives = sorted(path.glob("*.npz"))
    if len(archives) == 1:
        return load_npz(archives[0], split)
    if archives:
        names = ", ".join(file.name for file in archives[:4])
        raise ConfigError(f"{path}: holds {names}; name one of these files")
    return None


def _cifar(
    images: cifar10.Images, labels: cifar10.Labels, classes: tuple[str, ...], source: str
) -> Dataset:
    whole: Labels = labels.astype("int64")
    return Dataset(images, whole, classes, source=source, mixed=True)


def _cifar10_folder(path: Path) -> Path | None:
    for folder in (path, path / cifar10.FOLDER):
        if (folder / "test_batch.bin").is_file() or (folder / "data_batch_1.bin").is_file():
            return folder
    return None


def _cifar100_folder(path: Path) -> Path | None:
    for folder in (path, path / cifar100.FOLDER):
        if (folder / "test.bin").is_file() and (folder / cifar100.NAMES_FILE).is_file():
            return folder
    return None


def _part(path: Path, split: str) -> Path:
    """The part of a folder of pictures, where it holds nothing but one for each split."""
    if not path.is_dir() or (path / "labels.csv").is_file():
        return path
    folders = {item.name.lower(): item for item in path.iterdir() if item.is_dir()}
    train = [folders[name] for name in _PARTS["train"] if name in folders]
    test = [folders[name] for name in _PARTS["test"] if name in folders]
    if len(train) != 1 or not test or len(folders) != 1 + len(test):
        return path
    return train[0] if split == "train" else test[0]


def _refuse_foreign(path: Path) -> None:
    """Name what a file is, where it is something else than data."""
    if not path.is_file() or is_idx(path) or (path.suffix == ".npz" and zipfile.is_zipfile(path)):
        return
    what = what_it_is(path)
    if what is not None:
        raise ConfigError(f"{path}: {what}; --data takes {KINDS}")


def _refuse_pickles(path: Path) -> None:
    """Name CIFAR's pickles, and pickles at all, where somebody means them as data."""
    pickled = path if path.is_file() else None
    if path.is_dir():
        for folder in (path, path / "cifar-10-batches-py", path / "cifar-100-python"):
            for name in ("batches.meta", "meta"):
                if (folder / name).is_file() and not (path / "test_batch.bin").is_file():
                    pickled = folder / name
    if pickled is None:
        return
    try:
        with pickled.open("rb") as file:
            start = file.read(2)
    except OSError as error:
        raise ConfigError(f"{pickled}: cannot be read ({error.strerror})") from None
    if start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5":
        raise ConfigError(
            f"{pickled}: a pickle, which can run any code and is never loaded; take the binary "
            "version of CIFAR (--data cifar-10 fetches it), or save the arrays as .npz"
        )
