"""Opening `.mtjb` model files on the host; the format's rules are checked by mtjkit_core.mtjb."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.model import Model
from mtjkit_core.mtjb import HEADER_1_BYTES, MAGIC, MAX_FILE_BYTES, START

from mtjkit_export.files import refuse_pipe

_CHUNK = 1 << 20  # bytes: memory is taken as the file shows to have them


def load(path: str | os.PathLike[str]) -> Model:
    """Read a model file.

    Raises:
        ConfigError: it cannot be read.
        FormatError: it is not a valid model; the message names the file.
    """
    file = Path(path)
    refuse_pipe(file)
    try:
        with file.open("rb") as stream:
            return Model(_read(stream))
    except OSError as error:
        raise ConfigError(f"model {file}: {error.strerror or error}") from None
    except FormatError as error:
        raise FormatError(f"model {file}: {error}") from None


def _read(stream: BinaryIO) -> bytes:
    """The bytes of a model, at most one more than its header declares: a file may be endless."""
    data = stream.read(HEADER_1_BYTES)
    if len(data) < HEADER_1_BYTES or not data.startswith(MAGIC):
        return data
    file_bytes = struct.unpack_from(START, data)[5]
    chunks = [data]
    missing = min(file_bytes, MAX_FILE_BYTES) + 1 - len(data)
    while missing > 0 and (chunk := stream.read(min(missing, _CHUNK))):
        chunks.append(chunk)
        missing -= len(chunk)
    return b"".join(chunks)
