"""An emulated board's file system, made here: the board starts with its files on it.

MicroPython's own littlefs writes it, in the Unix port. Over an emulated serial line the same files
take ten seconds.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mtjkit_core.errors import ConfigError

from mtjkit_host.boards.device_files import compiled_modules
from mtjkit_host.boards.installed import LIST_NAME, Installed, digest_of
from mtjkit_host.boards.unix_port import find_micropython
from mtjkit_host.paths import BOARDS, DEVICE

_SCRIPT = BOARDS / "qemu" / "storage.py"
_HEAP = "32M"
_WAIT_S = 60.0
_SAYS = {"armv7m": "armv7em"}  # what MicroPython says of a Cortex-M3, whose viper code is the same


def flashed_files(architecture: str, native: str, mapped_model: bytes = b"") -> dict[str, bytes]:
    """What `flash` writes on a board whose file system is mounted at /: path -> content.

    Args:
        architecture: what mpy-cross calls the processor.
        native: the build of the native module; "" for the architecture's own.
        mapped_model: the model in the board's mapped memory; empty for none.

    Raises:
        ConfigError: a module does not compile.
    """
    modules = compiled_modules(_SAYS.get(architecture, architecture), native)
    files = {f"/lib/{name}": data for name, data in modules.items()}
    files["/main.py"] = (DEVICE / "main.py").read_bytes()
    digests = {path: digest_of(data) for path, data in files.items()}
    listed = Installed(digests, mapped_model=digest_of(mapped_model) if mapped_model else "")
    return {**files, f"/lib/{LIST_NAME}": listed.to_bytes()}


def littlefs_image(files: Mapping[str, bytes], size: int) -> bytes:
    """A file system of littlefs as a block device of `size` bytes.

    Args:
        files: path from the root -> content.
        size: of the device, a multiple of 4096.

    Raises:
        ConfigError: there is no MicroPython here that makes one.
    """
    said = b"".join(b"%s\n%d\n%s" % (path.encode(), len(d), d) for path, d in files.items())
    with tempfile.TemporaryDirectory() as work:
        image = Path(work) / "image"
        command = [find_micropython(), "-X", f"heapsize={_HEAP}", str(_SCRIPT), str(image)]
        try:
            done = subprocess.run(
                [*command, str(size)], input=said, capture_output=True, timeout=_WAIT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConfigError(f"{command[0]}: {error}") from error
        if done.returncode:
            lines = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
            why = lines[-1] if lines else f"it ended with {done.returncode}"
            raise ConfigError(f"MicroPython makes no file system for an emulated board: {why}")
        return image.read_bytes()
