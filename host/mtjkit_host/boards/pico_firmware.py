"""MicroPython for the Raspberry Pi Pico, from Debian's sources of it, the Pico SDK and TinyUSB.

A MicroPython tree with its submodules (MPY_DIR) is used as it is. Debian's lacks mbed TLS, so
that the Pico is built without TLS, which it has no network for.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import sys
from pathlib import Path

from mtjkit_core.errors import ConfigError

from mtjkit_host.boards.firmware import PORTS, mpy_cross, run_build
from mtjkit_host.boards.micropython_tree import fetch_source

_SDK = Path("pico_sdk_init.cmake")
_USB = Path("src/tusb.h")
_FLASH_AT = "0x10000000"
_ROMFS_BYTES = 896 * 1024  # as firmware/boards/pico/mpconfigboard.h has it
_ROMFS_AT = 0x10000000 + (2048 - 640 - 896) * 1024
_UF2_PAYLOAD = 256
_FAMILY = "0xe48bff56"  # of UF2 files for the RP2040
# Without mbed TLS and what rests on it: file, pattern, replacement.
_EDITS = (
    ("CMakeLists.txt", r"set\(MICROPY_SSL_MBEDTLS ON\)", "set(MICROPY_SSL_MBEDTLS OFF)"),
    ("CMakeLists.txt", r"^ *mbedtls/mbedtls_port\.c$", ""),
    ("CMakeLists.txt", r"^target_link_libraries\(\S+ micropy_lib_mbedtls\)$", ""),
    ("mpconfigport.h", r"(MICROPY_PY_HASHLIB_SHA1 +)\(1\)", r"\1(0)"),
    ("mpconfigport.h", r"(MICROPY_PY_CRYPTOLIB +)\(1\)", r"\1(0)"),
    ("mpconfigport.h", r"(MICROPY_SSL_MBEDTLS +)\(1\)", r"\1(0)"),
)


def build_pico(tree: Path, folder: Path) -> Path:
    """Build the Pico's firmware; returns the .uf2 file.

    Args:
        tree: MicroPython's sources.
        folder: where to build.

    Raises:
        ConfigError: sources are missing or the build fails.
    """
    sdk = _part(tree / "lib" / "pico-sdk", _SDK, "pico-sdk-source", "usr/src/pico-sdk")
    usb = _part(tree / "lib" / "tinyusb", _USB, "tinyusb-source", "usr/src/tinyusb")
    port = _overlay(tree, usb, folder / "tree") / "ports" / "rp2"
    build = folder / "build"
    log = folder / "build.log"
    empty = folder / "libstdc++.a"
    empty.write_bytes(b"!<arch>\n")
    environment = [f"MICROPY_MPYCROSS={mpy_cross()}", f"CXXFLAGS=-I{PORTS / 'pico' / 'cxx'}"]
    cmake = ["env", *environment, "cmake", "-S", str(port), "-B", str(build)]
    cmake += ["-DMICROPY_BOARD=MTJKIT_PICO", f"-DPICO_SDK_PATH_OVERRIDE={sdk}"]
    cmake += ["-DPICO_NO_PICOTOOL=1", f"-DPython3_EXECUTABLE={sys.executable}"]
    cmake += [f"-DMICROPY_LIB_DIR={tree}"]  # nothing of micropython-lib is frozen
    cmake += [f"-DCMAKE_EXE_LINKER_FLAGS=-L{folder}", "-DCMAKE_BUILD_TYPE=MinSizeRel"]
    run_build(cmake, log, "pico")
    jobs = str(os.cpu_count() or 1)
    run_build(["env", *environment, "cmake", "--build", str(build), "-j", jobs], log, "pico")
    image = folder / "firmware.uf2"
    convert = [sys.executable, str(tree / "tools" / "uf2conv.py"), "--convert", "-b", _FLASH_AT]
    convert += ["-f", _FAMILY, "-o", str(image), str(build / "firmware.bin")]
    run_build(convert, log, "pico")
    return image


def with_romfs(firmware: Path, image: bytes, target: Path) -> Path:
    """The firmware with a mapped file system in it, for an emulator; returns the .uf2 file.

    Args:
        firmware: what build_pico made.
        image: the file system; empty for none.
        target: where to write.

    Raises:
        ConfigError: the image is larger than the board's place for it.
    """
    if len(image) > _ROMFS_BYTES:
        raise ConfigError(
            f"the model needs {len(image):,} bytes of the Pico's mapped memory, "
            f"which has {_ROMFS_BYTES:,}"
        )
    blocks = [firmware.read_bytes()]
    for at in range(0, len(image), _UF2_PAYLOAD):
        data = image[at : at + _UF2_PAYLOAD].ljust(_UF2_PAYLOAD, b"\xff")
        number, count = at // _UF2_PAYLOAD, -(-len(image) // _UF2_PAYLOAD)
        head = (0x0A324655, 0x9E5D5157, 0x2000, _ROMFS_AT + at, _UF2_PAYLOAD, number, count)
        start = struct.pack("<8I", *head, int(_FAMILY, 16)) + data
        blocks.append(start.ljust(508, b"\0") + struct.pack("<I", 0x0AB16F30))
    target.write_bytes(b"".join(blocks))
    return target


def _part(own: Path, mark: Path, package: str, inside: str) -> Path:
    """A submodule of the tree, or Debian's package of it."""
    if (own / mark).is_file():
        return own
    return fetch_source(package, inside / mark, "deb") / inside


def _overlay(tree: Path, usb: Path, overlay: Path) -> Path:
    """The tree again, of links, with TinyUSB, our board, and an edited copy of the Pico's port."""
    shutil.rmtree(overlay, ignore_errors=True)
    (overlay / "lib").mkdir(parents=True)
    (overlay / "ports").mkdir()
    for path in tree.iterdir():
        if path.name not in ("lib", "ports"):
            (overlay / path.name).symlink_to(path)
    for path in (tree / "lib").iterdir():
        if path.name != "tinyusb":
            (overlay / "lib" / path.name).symlink_to(path)
    (overlay / "lib" / "tinyusb").symlink_to(usb)
    port = overlay / "ports" / "rp2"
    shutil.copytree(tree / "ports" / "rp2", port)
    board = port / "boards" / "MTJKIT_PICO"
    shutil.copytree(PORTS / "pico", board)
    shutil.copy(port / "boards" / "RPI_PICO" / "pins.csv", board)
    for name, pattern, replacement in _EDITS:
        file = port / name
        text, changes = re.subn(pattern, replacement, file.read_text(encoding="utf-8"), flags=re.M)
        if not changes:
            raise ConfigError(f"{tree} is no MicroPython that mtjkit can build the Pico's from")
        file.write_text(text, encoding="utf-8")
    return overlay
