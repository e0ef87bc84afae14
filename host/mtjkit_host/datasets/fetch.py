"""Data sets by name: the official archive is fetched once, checked and kept in the cache."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mtjkit_core.errors import ConfigError, LinkError

from mtjkit_host.datasets import cifar10, cifar100
from mtjkit_host.machine import tell
from mtjkit_host.paths import cache_dir

_MOST_BYTES = 1 << 29  # of a file in an archive


@dataclass(frozen=True)
class Archive:
    """An official archive."""

    url: str
    """Where it is fetched."""
    sha256: str
    """Of the archive."""
    folder: str
    """The only folder in it."""


ARCHIVES = {
    "cifar-10": Archive(
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        cifar10.FOLDER,
    ),
    "cifar-100": Archive(
        "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        cifar100.FOLDER,
    ),
}
"""Name -> its archive."""


def is_named(path: str | Path) -> bool:
    """Whether a path is the name of a data set that can be fetched, and nothing lies there."""
    return str(path) in ARCHIVES and not Path(path).exists()


def fetched(name: str) -> Path:
    """The folder of a data set in the cache; it is fetched where it is not there.

    Raises:
        LinkError: the archive cannot be fetched, or is not the official one.
        ConfigError: the cache cannot be written.
    """
    archive = ARCHIVES[name]
    folder = cache_dir() / archive.folder
    if folder.is_dir():
        return folder
    import pooch
    import requests

    pooch.get_logger().setLevel("ERROR")
    tell(f"fetching {archive.url} into {cache_dir()}")
    try:
        file = pooch.retrieve(archive.url, f"sha256:{archive.sha256}", path=cache_dir())
        _unpack(Path(file), folder)
        Path(file).unlink()
    except (requests.RequestException, tarfile.TarError, EOFError) as error:
        raise LinkError(
            f"{archive.url}: cannot be fetched ({type(error).__name__}); fetch it yourself and "
            f"give its unpacked folder as --data {archive.folder}"
        ) from None
    except ValueError as error:  # another hash
        raise LinkError(f"{archive.url}: not the official archive ({error})") from None
    except OSError as error:
        raise ConfigError(f"{cache_dir()}: cannot be written ({error.strerror or error})") from None
    return folder


def _unpack(file: Path, folder: Path) -> None:
    """Write the plain files of an archive into a folder, which is there whole or not at all."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        new = Path(place) / folder.name
        new.mkdir()
        with tarfile.open(file) as archive:
            for item in archive:
                if not item.isfile() or item.size > _MOST_BYTES:
                    continue
                stream = archive.extractfile(item)
                if stream is not None:
                    with stream, (new / Path(item.name).name).open("wb") as out:
                        shutil.copyfileobj(stream, out)
        new.replace(folder)
