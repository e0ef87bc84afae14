"""One picture file as pixels: cropped, scaled, with transparency laid on white."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mtjkit_core.errors import ConfigError, FormatError
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".ppm", ".pgm", ".bmp", ".webp")

_FORMATS = ("PNG", "JPEG", "PPM", "BMP", "WEBP")
_FREE_PIXELS = 1 << 22  # whatever the file's length: no more than 50 MB while it is scaled
_PIXELS_PER_BYTE = 1000  # deflate cannot compress more; a camera's JPEG has less than 50


@dataclass(frozen=True)
class Photo:
    """A picture, and what was done to it."""

    pixels: NDArray[np.uint8]
    """(height, width, 1 or 3)."""
    grey: bool
    """Whether the file is grey and the pixels are RGB."""
    coloured: bool
    """Whether the file has colours and the pixels are grey."""
    scaled: bool
    """Whether the file has another size than the pixels."""
    transparent: bool
    """Whether the file has transparency, which was laid on white."""


def load_photo(path: Path, shape: tuple[int, int, int] | None) -> NDArray[np.uint8]:
    """The pixels of `read_photo`."""
    return read_photo(path, shape).pixels


def read_photo(path: Path, shape: tuple[int, int, int] | None) -> Photo:
    """Load a picture, centre-cropped and scaled to `shape` (height, width, 1 or 3 channels).

    Transparent pixels are laid on white, as a page shows them. With None for the shape, the picture
    keeps its own size, and 1 channel where it is grey.

    Raises:
        ConfigError: it cannot be opened. FormatError: it is not a readable picture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd EXIF data, which only turn the picture
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # From memory: a chunk that lies about its length gets no more than there is.
            data = path.read_bytes()
            with Image.open(io.BytesIO(data), formats=_FORMATS) as file:
                _check_size(path, file.width * file.height, len(data))
                return _converted(ImageOps.exif_transpose(file), shape)
    except UnidentifiedImageError:
        raise FormatError(f"{path}: not a PNG, JPEG, PPM, PGM, BMP or WebP picture") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise FormatError(f"{path}: too many pixels; scale it down first") from None
    except OSError as error:
        if error.errno is not None:
            raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
        raise FormatError(f"{path}: damaged picture ({error})") from None
    except (ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError) as error:
        raise FormatError(f"{path}: damaged picture ({error})") from None


def _converted(photo: Image.Image, shape: tuple[int, int, int] | None) -> Photo:
    transparent = photo.has_transparency_data
    if transparent:
        photo = photo.convert("RGBA")
        white = Image.new("RGBA", photo.size, "white")
        transparent = min(photo.getchannel("A").tobytes()) < 255
        photo = Image.alpha_composite(white, photo).convert("RGB")
    elif photo.mode.startswith("I"):  # 16 bits a pixel, which convert() would clip
        photo = Image.fromarray((np.asarray(photo) >> 8).astype(np.uint8))
    grey = photo.mode in ("1", "L")
    if shape is None:
        shape = (photo.height, photo.width, 1 if grey else 3)
    height, width, channels = shape
    scaled = photo.size != (width, height)
    photo = photo.convert("L" if channels == 1 else "RGB")
    photo = ImageOps.fit(photo, (width, height), Image.Resampling.LANCZOS)
    pixels = np.asarray(photo, np.uint8).reshape(shape)
    return Photo(pixels, grey and channels == 3, not grey and channels == 1, scaled, transparent)


def _check_size(path: Path, pixels: int, size: int) -> None:
    """Refuse, before it takes memory, a picture that its file is too short for."""
    if pixels > max(_FREE_PIXELS, _PIXELS_PER_BYTE * size):
        raise FormatError(f"{path}: damaged picture ({pixels} pixels in too few bytes)")
