"""Opening `.mtjb` model files on the host; the format's rules are checked by mtjkit_core.model."""

from __future__ import annotations

import os
from pathlib import Path

from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.model import MAGIC, Model


def load(path: str | os.PathLike[str]) -> Model:
    """Read a model file.

    Raises:
        ConfigError: it cannot be read.
        FormatError: it is no valid model; the message names the file.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            data = stream.read(len(MAGIC))
            if data == MAGIC:  # a foreign file may be endless
                data += stream.read()
        return Model(data)
    except OSError as error:
        raise ConfigError(f"model {file}: {error.strerror or error}") from None
    except FormatError as error:
        raise FormatError(f"model {file}: {error}") from None
