"""The engine's tests on QEMU's boards, Cortex-M and RISC-V: viper on 32 bits, Thumb assembler, C.

They need QEMU and the firmware that `invoke firmware --board mps2-an385` builds; the kernel
native is among them if `invoke firmware` has built it.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_host.boards.architectures import THUMB
from mtjkit_host.boards.catalog import boards
from mtjkit_host.boards.emulate import emulate
from mtjkit_host.boards.firmware import find_firmware
from mtjkit_host.boards.native_module import find_native

MACHINES = {name: spec for name, spec in boards().items() if spec.emulator == "qemu"}
ROOT = Path(__file__).parents[2]
LIB = ROOT / "firmware/micropython/lib"
SCRIPT = """\
import gc, sys
sys.path.append("/rom/lib")
gc.threshold(50000)
import test_engine
print(test_engine.kernels())
test_engine.test_runs_match_the_vectors()
test_engine.test_runs_with_limits_for_each_layer_and_direction_match_the_vectors()
test_engine.test_the_assembler_for_any_cortex_m_matches_the_vectors()
test_engine.test_geometries_and_kinds_match_the_vectors()
test_engine.test_rows_of_every_length_match_the_vectors()
test_engine.test_programmed_weights_match_the_vectors()
test_engine.test_weights_with_limits_for_each_layer_and_direction_match_the_vectors()
test_engine.test_runs_and_weights_on_chips_match_the_vectors()
test_engine.test_runs_over_random_bits_match_the_vectors()
test_engine.test_a_chip_leaves_nothing_behind()
test_engine.test_writes_leave_the_cells_behind_the_map_alone()
test_engine.test_a_misaligned_model_is_refused()
test_engine.test_the_memory_of_the_kernels_in_c_is_known_beforehand()
import nets
print(nets.run(24, 1))
import no_allocation
import memory_lock
memory_lock.check()
print("done")
"""


def mpremote(*arguments):
    command = [sys.executable, "-m", "mpremote", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# Most differ little from the Cortex-M3 and from virt-rv32; test_targets.py compares a run of each.
SLOW = ("mps2-an500", "mps2-an505", "mps3-an547", "virt-rv32-zbb")


@pytest.mark.parametrize(
    "machine", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else []) for n in MACHINES]
)
@pytest.mark.emulated
def test_kernels_match_the_vectors(machine, tmp_path):
    pytest.importorskip("mpremote")
    try:
        firmware = find_firmware(machine)
    except ConfigError as error:
        pytest.skip(str(error))
    lib = tmp_path / "tree" / "lib"
    spec = MACHINES[machine]
    left_out = ["__pycache__"] + ["*_zbb.py"] * (not spec.native.endswith("zbb"))
    for package in ("mtjkit_core", "mtjkit_device"):
        shutil.copytree(LIB / package, lib / package, ignore=shutil.ignore_patterns(*left_out))
    for path in (ROOT / "tests/vectors").glob("*"):
        if path.suffix in (".py", ".json"):
            shutil.copy(path, lib)
    for name in ("test_engine.py", "no_allocation.py", "memory_lock.py"):
        shutil.copy(ROOT / "tests/device" / name, lib)
    shutil.copy(ROOT / "tests/fuzz/nets.py", lib)
    native = find_native(spec.architecture, spec.native)
    if native:
        shutil.copy(native, lib)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    rom = ["--no-mpy", "-o", str(tmp_path / "rom.img"), "build", str(lib.parent)]
    mpremote("romfs", *rom)
    with emulate(MACHINES[machine], firmware, (tmp_path / "rom.img").read_bytes()) as port:
        out = mpremote("connect", port, "run", str(script))
    thumb = MACHINES[machine].architecture in THUMB
    kernels = ["native"] * bool(native) + ["asm_thumb" if thumb else "asm_rv32", "viper"]
    lines = out.splitlines()
    # Of all kernels the bits are right, an image takes no memory, nor does a message.
    assert lines[0] == str(kernels)
    assert ("'asm_thumb': 24" in lines[1]) == thumb
    assert lines[2:-1] == kernels + [f"{name} 168 results" for name in kernels]
    assert lines[-1] == "done"
