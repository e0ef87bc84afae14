"""What a Keras .h5 or .keras file holds, read by a process of its own.

HDF5's library runs for ever on some damaged files, takes all memory on some and ends its process on
others. So a child reads the file, within limits of time and memory, and hands out plain arrays.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from contextlib import suppress

import numpy as np
from mtjkit_core.errors import ConfigError

from mtjkit_export.files import file_errors
from mtjkit_export.importers.graph import MAX_FILE, Array, checked_size, damaged, refuse
from mtjkit_export.needs import needs

READ_S = 60.0
"""A file that is not read by then is called damaged."""
_MEMORY = 8 * MAX_FILE
_REFUSED = 3


def read_model(
    path: str | os.PathLike[str], limit_s: float = READ_S
) -> tuple[str, dict[str, Array]]:
    """A network that was saved whole, `model.save("net.h5")` or `model.save("net.keras")`.

    Args:
        path: the file.
        limit_s: how long the reading may take, seconds.

    Returns:
        Its description, JSON, and its weights: float32 arrays by their path in the file, which a
        .keras file numbers within each layer.

    Raises:
        ConfigError: the file cannot be read or holds no whole network, or h5py is missing.
        FormatError: the file is damaged.
    """
    with needs("import"):
        import h5py  # noqa: F401 - to say here that it is missing
    with file_errors(path, "read"):
        if os.path.getsize(path) > MAX_FILE:
            raise refuse(f"{path} has more than {MAX_FILE >> 20} MB")
        with open(path, "rb"):
            pass
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    words = [sys.executable, "-m", __name__, os.path.abspath(path)]
    try:
        child = subprocess.run(
            words, capture_output=True, stdin=subprocess.DEVNULL, env=environment, timeout=limit_s
        )
    except subprocess.TimeoutExpired:
        raise damaged(f"{path}: damaged: HDF5's library does not end reading it") from None
    said = child.stderr.decode(errors="replace").strip().splitlines()
    if child.returncode == _REFUSED:
        raise ConfigError(said[-1])
    if child.returncode:
        why = said[-1] if said else f"HDF5's library ended with status {child.returncode}"
        raise damaged(f"{path}: damaged, or not a Keras network ({why})")
    with np.load(io.BytesIO(child.stdout)) as stored:
        config, names, *arrays = (stored[f"arr_{n}"] for n in range(len(stored)))
    return str(config), dict(zip(names.tolist(), arrays, strict=True))


def contents(path: str) -> tuple[str, dict[str, Array]]:
    """The same, read by this process.

    Raises:
        ConfigError: the file holds no whole network, or too large ones.
        Exception: whatever h5py makes of a damaged file.
    """
    import h5py

    found: dict[str, Array] = {}

    def visit(name: str, item: object) -> None:
        if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "fiu":
            return
        checked_size(item.shape, name)
        if item.external or item.is_virtual:
            raise refuse(f"{name} lies in another file")
        found[name] = np.asarray(item[()], np.float32)

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            described = _member(archive, "config.json").decode()
            weights = io.BytesIO(_member(archive, "model.weights.h5"))
        with h5py.File(weights, "r") as file:
            file.visititems(visit)
        return described, found
    with h5py.File(path, "r") as file:
        config = file.attrs.get("model_config")
        if config is None:
            raise refuse(f"{path} holds weights alone: save the whole model")
        file["model_weights"].visititems(visit)
    return config.decode() if isinstance(config, bytes) else str(config), found


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if name not in archive.namelist():
        raise refuse(f"{archive.filename} holds no {name}: Keras did not save it")
    if archive.getinfo(name).file_size > MAX_FILE:
        raise refuse(f"{name} has more than {MAX_FILE >> 20} MB")
    return archive.read(name)


def _main() -> None:
    with suppress(ImportError, ValueError, OSError):  # Windows has none
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    try:
        config, arrays = contents(sys.argv[1])
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise SystemExit(_REFUSED) from None
    except Exception as error:  # h5py lets many kinds through
        print(" ".join(str(error).split()) or type(error).__name__, file=sys.stderr)
        raise SystemExit(1) from None
    out = io.BytesIO()
    np.savez(out, np.array(config), np.array([*arrays], np.str_), *arrays.values())
    sys.stdout.buffer.write(out.getvalue())


if __name__ == "__main__":
    _main()
