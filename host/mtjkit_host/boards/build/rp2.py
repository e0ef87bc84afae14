"""MicroPython's rp2 port, from Debian's sources of MicroPython, the Pico SDK and TinyUSB.

A MicroPython tree with its submodules (MPY_DIR) is used as it is. Debian's lacks mbed TLS, so
boards are built without TLS, which a board without a network does not need.

A board's [build] table has `like`, MicroPython's board whose pins it has; `sdk_board` and
`sdk_platform`, the Pico SDK's names; `uf2_family`; and `flash_bytes`: of the flash, MicroPython has
what lies before the ROMFS and the file system what lies behind it.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from mtjkit_core.errors import ConfigError

from mtjkit_host.boards.build.steps import mpy_cross, run_build
from mtjkit_host.boards.catalog import BoardSpec, setting
from mtjkit_host.boards.micropython_tree import fetch_source
from mtjkit_host.machine import cores
from mtjkit_host.paths import BOARDS

_SDK = Path("pico_sdk_init.cmake")
_USB = Path("src/tusb.h")
_FLASH_AT = 0x10000000
# Without mbed TLS and what rests on it: file, pattern, replacement.
_EDITS = (
    ("CMakeLists.txt", r"set\(MICROPY_SSL_MBEDTLS ON\)", "set(MICROPY_SSL_MBEDTLS OFF)"),
    ("CMakeLists.txt", r"^ *mbedtls/mbedtls_port\.c$", ""),
    ("CMakeLists.txt", r"^target_link_libraries\(\S+ micropy_lib_mbedtls\)$", ""),
    ("mpconfigport.h", r"(MICROPY_PY_HASHLIB_SHA1 +)\(1\)", r"\1(0)"),
    ("mpconfigport.h", r"(MICROPY_PY_CRYPTOLIB +)\(1\)", r"\1(0)"),
    ("mpconfigport.h", r"(MICROPY_SSL_MBEDTLS +)\(1\)", r"\1(0)"),
)


def tools(spec: BoardSpec) -> list[str]:
    """Programs that the build needs."""
    return ["make", "arm-none-eabi-gcc", "cmake", "g++"]


def build(spec: BoardSpec, tree: Path, image: Path, heap_bytes: int) -> None:
    """Build a board's firmware, a .uf2 file.

    Args:
        spec: the board.
        tree: MicroPython's sources.
        image: the file to write, in the folder to build in.
        heap_bytes: not used: MicroPython's heap is what the RAM leaves.

    Raises:
        ConfigError: the board's settings are wrong, sources are missing, or the build fails.
    """
    folder = image.parent
    sdk = _part(tree / "lib" / "pico-sdk", _SDK, "pico-sdk-source", "usr/src/pico-sdk")
    usb = _part(tree / "lib" / "tinyusb", _USB, "tinyusb-source", "usr/src/tinyusb")
    port = _overlay(spec, tree, usb, folder / "tree") / "ports" / "rp2"
    work = folder / "build"
    log = folder / "build.log"
    empty = folder / "libstdc++.a"
    empty.write_bytes(b"!<arch>\n")
    environment = [f"MICROPY_MPYCROSS={mpy_cross()}", f"CXXFLAGS=-I{BOARDS / 'rp2' / 'cxx'}"]
    cmake = ["env", *environment, "cmake", "-S", str(port), "-B", str(work)]
    cmake += [f"-DMICROPY_BOARD={_board_name(spec)}", f"-DPICO_SDK_PATH_OVERRIDE={sdk}"]
    cmake += ["-DPICO_NO_PICOTOOL=1", f"-DPython3_EXECUTABLE={sys.executable}"]
    cmake += [f"-DMICROPY_LIB_DIR={tree}"]  # nothing of micropython-lib is frozen
    cmake += [f"-DCMAKE_EXE_LINKER_FLAGS=-L{folder}", "-DCMAKE_BUILD_TYPE=MinSizeRel"]
    run_build(cmake, log, spec.name)
    jobs = str(cores())
    run_build(["env", *environment, "cmake", "--build", str(work), "-j", jobs], log, spec.name)
    convert = [
        sys.executable,
        str(tree / "tools" / "uf2conv.py"),
        "--convert",
        "-b",
        hex(_FLASH_AT),
    ]
    convert += [
        "-f",
        hex(setting(spec, spec.build, "uf2_family", int)),
        "-o",
        str(image),
        str(work / "firmware.bin"),
    ]
    run_build(convert, log, spec.name)


def configuration(spec: BoardSpec) -> dict[str, str]:
    """The files of a board's folder in MicroPython's tree: name -> text.

    Raises:
        ConfigError: the board's settings are wrong.
    """
    flash_end = _FLASH_AT + setting(spec, spec.build, "flash_bytes", int)
    if spec.romfs is None or not _FLASH_AT < spec.romfs.address < flash_end - spec.romfs.bytes:
        raise ConfigError(f"{spec.name}: a board of rp2 needs a [romfs] in its flash, files behind")
    storage = flash_end - spec.romfs.address - spec.romfs.bytes
    return {
        "mpconfigboard.h": f'#define MICROPY_HW_BOARD_NAME "{spec.title}"\n'
        f"#define MICROPY_HW_ROMFS_BYTES ({spec.romfs.bytes})\n"
        f"#define MICROPY_HW_FLASH_STORAGE_BYTES ({storage})\n",
        "mpconfigboard.cmake": f'set(PICO_BOARD "{setting(spec, spec.build, "sdk_board", str)}")\n'
        f'set(PICO_PLATFORM "{setting(spec, spec.build, "sdk_platform", str)}")\n'
        "set(MICROPY_FROZEN_MANIFEST ${MICROPY_BOARD_DIR}/manifest.py)\n",
        "manifest.py": (BOARDS / "rp2" / "manifest.py").read_text(encoding="utf-8"),
    }


def _board_name(spec: BoardSpec) -> str:
    """What MicroPython's build calls the board."""
    return "MTJKIT_" + re.sub(r"\W", "_", spec.name).upper()


def _part(own: Path, mark: Path, package: str, inside: str) -> Path:
    """A submodule of the tree, or Debian's package of the same library."""
    if (own / mark).is_file():
        return own
    return fetch_source(package, inside / mark, "deb") / inside


def _overlay(spec: BoardSpec, tree: Path, usb: Path, overlay: Path) -> Path:
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
    board = port / "boards" / _board_name(spec)
    board.mkdir()
    for name, text in configuration(spec).items():
        (board / name).write_text(text, encoding="utf-8")
    pins = port / "boards" / setting(spec, spec.build, "like", str) / "pins.csv"
    if not pins.is_file():
        raise ConfigError(f"{spec.name}: MicroPython has no rp2 board {pins.parent.name}")
    shutil.copy(pins, board)
    for name, pattern, replacement in _EDITS:
        file = port / name
        text, changes = re.subn(pattern, replacement, file.read_text(encoding="utf-8"), flags=re.M)
        if not changes:
            raise ConfigError(f"{tree} is not a MicroPython that mtjkit can build rp2 boards from")
        file.write_text(text, encoding="utf-8")
    return overlay
