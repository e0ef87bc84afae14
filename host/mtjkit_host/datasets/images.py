"""Images to classify: CIFAR-10's official binary files, or one's own photographs."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.model import Model
from mtjkit_export.nets.binary import PixelRule
from mtjkit_export.predictions import to_inputs
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mtjkit_host.datasets import cifar10

PHOTO_SUFFIXES = (".png", ".jpg", ".jpeg")

_FREE_PIXELS = 1 << 22  # whatever the file's length: no more than 50 MB while it is scaled
_PIXELS_PER_BYTE = 1000  # deflate cannot compress more; a camera's JPEG has less than 50


@dataclass(frozen=True)
class ImageSet:
    """Images of one size, with labels where they have them."""

    pixels: NDArray[np.uint8]
    """(n, height, width, channels), RGB or grey."""
    labels: NDArray[np.int64] | None
    """Class of each image, (n,); None where it is not known."""
    names: tuple[str, ...] = ()
    """Photographs' paths below the folder given; empty for CIFAR-10."""

    def __len__(self) -> int:
        return len(self.pixels)


def load_images(path: str | Path, model: Model, count: int | None = None) -> ImageSet:
    """Load the images that a model is to classify.

    Args:
        path: CIFAR-10's binary files (a .bin file, or a folder that cifar10.load_test takes), a
            photograph (PNG or JPEG), or a folder of photographs, taken in the order of their
            paths. A photograph is centre-cropped to the model's proportions and scaled to its
            input. Where each lies in a folder named after one of the model's classes, that is
            its label; otherwise photographs have none.
        model: gives the input's shape and the class names.
        count: how many, the first ones; None for all.

    Raises:
        ConfigError: nothing usable is there, fewer than `count`, or of the wrong shape.
        FormatError: a file is damaged.
    """
    path = Path(path)
    photos = _photos(path)
    images = _load_photos(path, photos, model, count) if photos else _load_cifar10(path, model)
    available = len(photos) or len(images)
    if count is not None and count > available:
        raise ConfigError(f"--images {count}: only {available} are in {path}")
    labels = None if images.labels is None else images.labels[:count]
    return ImageSet(images.pixels[:count], labels, images.names[:count])


class HasPixelRule(Protocol):
    """A binary model or a fixed-point net."""

    @property
    def pixel_rule(self) -> tuple[int, int, int]:
        """The numbers of mtjkit_export.nets.binary.PixelRule."""
        ...


def to_input(net: HasPixelRule, pixels: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Apply a net's pixel rule or tables: uint8 (..., channels) to the int8 input of its device.

    Raises:
        ConfigError: the net takes int8 as it is, and a pixel is above 127.
    """
    if isinstance(net, Model):
        return to_inputs(net, pixels)
    return PixelRule(*net.pixel_rule).apply(pixels)


def _photos(path: Path) -> list[Path]:
    """The photographs of a path; none where CIFAR-10's files are there."""
    if path.is_file():
        return [path] if path.suffix.lower() in PHOTO_SUFFIXES else []
    if (path / "test_batch.bin").is_file() or (path / "cifar-10-batches-bin").is_dir():
        return []
    return sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in PHOTO_SUFFIXES and not file.name.startswith(".")
    )


def _load_cifar10(path: Path, model: Model) -> ImageSet:
    try:
        pixels, labels = cifar10.load_test(path)
    except ConfigError as error:
        raise ConfigError(
            f"{error}; or name a PNG or JPEG photograph or a folder of them"
        ) from None
    if pixels.shape[1:] != model.input_shape or model.classes != len(cifar10.CLASSES):
        raise ConfigError(
            f"CIFAR-10 has images of {_shape(pixels.shape[1:])} in 10 classes; model "
            f"{model.name!r} takes {_shape(model.input_shape)} and knows {model.classes}"
        )
    return ImageSet(pixels, labels.astype(np.int64))


def _load_photos(path: Path, photos: list[Path], model: Model, count: int | None) -> ImageSet:
    if model.input_shape[2] not in (1, 3):
        raise ConfigError(
            f"model {model.name!r} takes {_shape(model.input_shape)}: a photograph has 1 or 3 "
            "channels; bring the images another way"
        )
    base = path if path.is_dir() else path.parent
    photos = photos[:count]
    pixels = np.stack([load_photo(photo, model.input_shape) for photo in photos])
    names = tuple(photo.relative_to(base).as_posix() for photo in photos)
    folders = [photo.absolute().parent.name for photo in photos]
    if not all(folder in model.class_names for folder in folders):
        return ImageSet(pixels, None, names)
    labels = np.array([model.class_names.index(folder) for folder in folders], np.int64)
    return ImageSet(pixels, labels, names)


def load_photo(path: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Load a photograph, centre-cropped and scaled to `shape` (height, width, 1 or 3 channels).

    Raises:
        ConfigError: it cannot be opened. FormatError: it is not a readable picture.
    """
    height, width, channels = shape
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd EXIF data, which only turn the picture
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # From memory: a chunk that lies about its length gets no more than there is.
            data = path.read_bytes()
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as file:
                _check_size(path, file.width * file.height, len(data))
                photo: Image.Image = ImageOps.exif_transpose(file)
                if photo.mode.startswith("I"):  # 16 bits a pixel, which convert() would clip
                    photo = Image.fromarray((np.asarray(photo) >> 8).astype(np.uint8))
                photo = photo.convert("L" if channels == 1 else "RGB")
                photo = ImageOps.fit(photo, (width, height), Image.Resampling.LANCZOS)
    except UnidentifiedImageError:
        raise FormatError(f"{path}: not a PNG or JPEG picture") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise FormatError(f"{path}: too many pixels; scale it down first") from None
    except OSError as error:
        if error.errno is not None:
            raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
        raise FormatError(f"{path}: damaged picture ({error})") from None
    except (ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError) as error:
        raise FormatError(f"{path}: damaged picture ({error})") from None
    return np.asarray(photo, np.uint8).reshape(shape)


def _check_size(path: Path, pixels: int, size: int) -> None:
    """Refuse, before it takes memory, a picture that its file is too short for."""
    if pixels > max(_FREE_PIXELS, _PIXELS_PER_BYTE * size):
        raise FormatError(f"{path}: damaged picture ({pixels} pixels in too few bytes)")


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
