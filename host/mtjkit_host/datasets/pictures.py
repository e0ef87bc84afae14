"""Many pictures: one file, folders by class, or a table of paths and labels beside them.

A label is a text: the name of the picture's folder, what a map file (``classes.csv``) says of that
folder, or the label in ``labels.csv``.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from mtjkit_core.errors import ConfigError, FormatError

from mtjkit_host.datasets.dataset import Dataset, Labels, chosen, listed
from mtjkit_host.datasets.foreign import UNREAD_PICTURES
from mtjkit_host.datasets.photo import SUFFIXES, Photo, read_photo
from mtjkit_host.parse import shown
from mtjkit_host.settings import decode_text

LABELS_FILE = "labels.csv"
MAP_FILE = "classes.csv"

_PATH_COLUMNS = ("path", "file", "filename", "image")
_LABEL_COLUMNS = ("label", "class", "classid", "category", "target")
_FOLDER_COLUMNS = ("folder", "label", "classid", "id", "number")
_NAME_COLUMNS = ("class", "name", "classname", "signname")
_MOST_BYTES = 1 << 27


@dataclass(frozen=True)
class Pictures:
    """Files of pictures and what they are labelled with, before any is opened."""

    base: Path
    """The folder that names are told from."""
    files: tuple[Path, ...]
    """In the order of their paths, or of the table."""
    texts: tuple[str, ...] | None
    """Label of each file as it is written; None where nothing labels them."""
    stated: bool = False
    """Whether a table says the labels; otherwise folders' names do, which may mean nothing."""
    remarks: tuple[str, ...] = ()
    """What is left out."""


def find_pictures(path: Path) -> Pictures | None:
    """The pictures of a path; None where there are none.

    Args:
        path: a picture, a folder of pictures at any depth, or a table ``*.csv``.

    Raises:
        ConfigError: a table names pictures that are not there, or all are of kinds that are not
            read.
        FormatError: a table cannot be read.
    """
    if path.is_file():
        if path.suffix.lower() == ".csv":
            return _from_table(path)
        return _by_folder(path.parent, (path,)) if begins_as_picture(path) else None
    if (path / LABELS_FILE).is_file():
        return _from_table(path / LABELS_FILE)
    files, remarks = _walk(path)
    if not files and remarks:
        raise ConfigError("; ".join(remarks))
    if not files:
        return None
    found = _by_folder(path, files)
    return replace(found, remarks=(*found.remarks, *remarks))


def begins_as_picture(file: Path) -> bool:
    """Whether a file is named as a picture, or begins as one whatever its name is."""
    if file.suffix.lower() in SUFFIXES:
        return True
    try:
        with file.open("rb") as opened:
            start = opened.read(12)
    except OSError:
        return False
    return start.startswith((b"\x89PNG\r\n", b"\xff\xd8\xff")) or (
        start[:4] == b"RIFF" and start[8:] == b"WEBP"
    )


def _walk(base: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Pictures below a folder, sorted, and remarks on what is passed over.

    Links to folders are followed, each folder once. Hidden folders and those of file managers
    (`.ipynb_checkpoints`, `@eaDir`, `__MACOSX`) hold copies and thumbnails.
    """
    files: list[Path] = []
    unread: Counter[str] = Counter()
    passed: list[str] = []
    seen: set[str] = set()
    for folder, names, entries in os.walk(base, followlinks=True):
        here, real = Path(folder), os.path.realpath(folder)
        foreign = [name for name in sorted(names) if _is_foreign(name)]
        passed += [str((here / name).relative_to(base)) for name in foreign]
        names[:] = [] if real in seen else sorted(set(names) - set(foreign))
        for name in [] if real in seen else entries:
            suffix = Path(name).suffix.lower()
            if suffix in SUFFIXES and not name.startswith(".") and (here / name).is_file():
                files.append(here / name)
            elif suffix in UNREAD_PICTURES:
                unread[suffix] += 1
        seen.add(real)
    remarks = []
    if passed:
        remarks.append(f"{base}: {listed(passed, 3)} passed over")
    if unread:
        kinds = ", ".join(sorted(unread))
        remarks.append(
            f"{base}: {sum(unread.values())} pictures of kinds that are not read ({kinds}) left "
            "out; convert them to PNG or JPEG"
        )
    return tuple(sorted(files)), tuple(remarks)


def _is_foreign(name: str) -> bool:
    return name.startswith((".", "@", "$")) or name == "__MACOSX"


def _by_folder(base: Path, files: tuple[Path, ...]) -> Pictures:
    folders = [file.absolute().parent.name for file in files]
    if not (base / MAP_FILE).is_file():
        return Pictures(base, files, tuple(folders))
    table = dict(_table(base / MAP_FILE, _FOLDER_COLUMNS, _NAME_COLUMNS))
    # 14 and 00014 are one folder, since tables of numbers lose their zeros.
    numbers = {int(key): name for key, name in table.items() if _is_number(key)}
    texts = []
    for folder in folders:
        name = table.get(folder)
        if name is None and _is_number(folder):
            name = numbers.get(int(folder))
        if name is None:
            raise ConfigError(f"{base / MAP_FILE}: says no class for the folder {shown(folder)}")
        texts.append(name)
    return Pictures(base, files, tuple(texts), stated=True)


def _from_table(table: Path) -> Pictures:
    base = table.parent
    rows = _table(table, _PATH_COLUMNS, _LABEL_COLUMNS)
    files = tuple(base / path for path, _ in rows)
    absent = [str(file) for file in files if not file.is_file()]
    if absent:
        raise ConfigError(f"{table}: {len(absent)} pictures are not there: {listed(absent, 2)}")
    listed_files = set(files)
    others = [file for file in _walk(base)[0] if file not in listed_files]
    remarks: tuple[str, ...] = ()
    if others:
        remarks = (f"{len(others)} pictures in {base} are not in {table.name} and are left out",)
    return Pictures(base, files, tuple(label for _, label in rows), True, remarks)


def _table(file: Path, keys: tuple[str, ...], values: tuple[str, ...]) -> list[tuple[str, str]]:
    """Two columns of a table, found by their names; separated by commas, semicolons or tabs."""
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise FormatError(f"{file}: longer than {_MOST_BYTES} bytes")
        lines = decode_text(file.read_bytes(), str(file)).splitlines()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from None
    head = lines[0] if lines else ""
    separator = max(",;\t", key=head.count)
    try:
        rows = list(csv.reader(lines, delimiter=separator))
    except csv.Error as error:
        raise FormatError(f"{file}: not a table ({error})") from None
    columns = [name.strip().lower().replace("_", "") for name in rows[0]] if rows else []
    key = next((columns.index(name) for name in keys if name in columns), None)
    value = next((columns.index(name) for name in values if name in columns), None)
    if key is None or value is None or key == value:
        raise FormatError(
            f"{file}: the first line names the columns {listed(columns) or 'none'}; "
            f"expected {keys[0]} and {values[0]}"
        )
    found = []
    for number, row in enumerate(rows[1:], 2):
        if not row:
            continue
        if len(row) <= max(key, value) or not row[key].strip() or not row[value].strip():
            raise FormatError(f"{file}: line {number} has no {columns[key]} or {columns[value]}")
        found.append((row[key].strip(), row[value].strip()))
    if not found:
        raise FormatError(f"{file}: holds no line below the first")
    return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def load_pictures(
    pictures: Pictures,
    shape: tuple[int, int, int] | None,
    count: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Load pictures; `count` of them, drawn evenly over their labels before any is opened.

    Args:
        pictures: their files.
        shape: (height, width, 1 or 3) of the images; None for the pictures' own size.
        count: how many; None for all. With fewer than two labels the first ones.
        seed: of the draw.

    Raises:
        ConfigError: there are fewer; or one cannot be opened; or they have several sizes, with
            None for the shape.
        FormatError: a picture is damaged.
    """
    classes, labels = _classes(pictures.texts)
    which = np.arange(len(pictures.files))
    if count is not None:
        if count > len(which):
            raise ConfigError(f"--images {count}: only {len(which)} are in {pictures.base}")
        which = which[:count] if len(classes) < 2 or labels is None else chosen(labels, count, seed)
    photos: list[Photo] = []
    own_size = shape is None
    for index in which:
        photo = read_photo(pictures.files[index], shape)
        if shape is None:
            shape = photo.pixels.shape
        if own_size and (photo.scaled or photo.grey or photo.coloured):
            raise ConfigError(
                f"{pictures.files[index]}: of another size or colour than the pictures before it; "
                "scale them first, or name the size to scale them to"
            )
        photos.append(photo)
    remarks = list(pictures.remarks)
    size = f"{shape[1]} x {shape[0]}" if shape else ""
    for what, number in (
        (f"cropped and scaled to {size}", sum(photo.scaled for photo in photos)),
        ("grey, taken as RGB", sum(photo.grey for photo in photos)),
        ("in colours, taken as grey", sum(photo.coloured for photo in photos)),
        ("with transparency, laid on white", sum(photo.transparent for photo in photos)),
    ):
        if number:
            remarks.append(f"{number} of {len(photos)} pictures: {what}")
    base = pictures.base
    return Dataset(
        np.stack([photo.pixels for photo in photos]),
        None if labels is None else labels[which],
        classes,
        tuple(_relative(pictures.files[index], base) for index in which),
        f"pictures in {base}",
        folders=not pictures.stated,
        remarks=tuple(remarks),
    )


def _classes(texts: tuple[str, ...] | None) -> tuple[tuple[str, ...], Labels | None]:
    """Names of the classes, sorted, and the label of each picture."""
    if texts is None:
        return (), None
    if all(_is_number(text) for text in texts) and max(int(text) for text in texts) < 1 << 16:
        numbers = sorted({int(text): text for text in texts}.items())
        names = tuple(text for _, text in numbers)
        place = {number: at for at, (number, _) in enumerate(numbers)}
        return names, np.array([place[int(text)] for text in texts], np.int64)
    names = tuple(sorted(set(texts)))
    index = {name: at for at, name in enumerate(names)}
    return names, np.array([index[text] for text in texts], np.int64)


def _relative(file: Path, base: Path) -> str:
    try:
        return file.relative_to(base).as_posix()
    except ValueError:
        return file.as_posix()
