"""An emulated board starts with its files: `flash` finds nothing to do."""

import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_host.boards.catalog import board_named
from mtjkit_host.boards.emulate import emulate, storage_bytes
from mtjkit_host.boards.firmware import find_firmware
from mtjkit_host.boards.flash import flash
from mtjkit_host.boards.storage import flashed_files, littlefs_image
from mtjkit_host.runs import emulated
from support.micropython import run_micropython

READ = """
import os, sys, vfs

class Flash:
    memory = open(%r, "rb").read()

    def readblocks(self, block, buffer, offset=0):
        at = block * 4096 + offset
        buffer[:] = self.memory[at : at + len(buffer)]

    def ioctl(self, request, _):
        return {4: len(self.memory) // 4096, 5: 4096}.get(request, 0)

vfs.mount(Flash(), "/image", readonly=True)
for name in ("main.py", "lib/a/b.mpy", "lib/empty"):
    with open("/image/" + name, "rb") as file:
        print(file.read())
"""


def test_an_image_has_its_files(micropython, tmp_path):
    files = {"/lib/a/b.mpy": bytes(range(256)) * 40, "/lib/empty": b"", "/main.py": b"\n1\n"}
    image = littlefs_image(files, 1 << 17)
    assert len(image) == 1 << 17
    (tmp_path / "image").write_bytes(image)
    script = tmp_path / "read.py"
    script.write_text(READ % str(tmp_path / "image"))
    out = run_micropython(script).splitlines()
    assert [eval(line) for line in out] == [files["/main.py"], files["/lib/a/b.mpy"], b""]


def test_what_does_not_fit_is_one_line(micropython):
    with pytest.raises(ConfigError, match=r"makes no file system .*: OSError"):
        littlefs_image({"/large": bytes(1 << 17)}, 1 << 16)


def test_without_micropython_flash_writes_the_files(monkeypatch):
    monkeypatch.setenv("MICROPYTHON", "/no/such/micropython")
    assert emulated._storage(board_named("mps2-an385"), b"") == b""
    assert emulated._storage(board_named("pico"), b"") == b""


def test_flash_finds_all_files_there(emulator, micropython):
    emulator("mps2-an385")  # skips where it is not there
    spec = board_named("mps2-an385")
    files = flashed_files(spec.architecture, spec.native)
    image = littlefs_image(files, storage_bytes(spec))
    with emulate(spec, find_firmware(spec.name), storage=image) as port:
        done = flash(port)
    assert done.copied == done.removed == ()
    assert len(done.kept) == len(files) - 1  # all but the list
    assert done.info is not None
