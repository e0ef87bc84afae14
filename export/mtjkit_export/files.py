"""Files that appear whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from mtjkit_core.errors import ConfigError


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that readers see the old content or the new, nothing else.

    The folder is made where it is missing. The data are on the disk before the name changes.

    Raises:
        ConfigError: the file cannot be written there.
    """
    target = Path(path)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(part, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        except BaseException:  # an interrupt too leaves nothing behind
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigError(f"cannot write {target}: {error.strerror or error}") from None


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a value as indented JSON, as `write_atomically` does.

    Raises:
        ConfigError: the file cannot be written there.
    """
    write_atomically(path, json.dumps(value, indent=2, allow_nan=False).encode() + b"\n")
