"""The C kernels' assembler for ARMv6-M, on a processor that has no other instructions."""

import shutil
import subprocess
from pathlib import Path

import pytest
from mtjkit_host.paths import NATIVE

COMPILER, QEMU = "arm-none-eabi-gcc", "qemu-system-arm"
# QEMU's micro:bit: a Cortex-M0, 256 KB of flash at 0 and 16 KB of RAM.
FLAGS = "-mcpu=cortex-m0 -O2 -specs=rdimon.specs -Wl,--section-start=.vectors=0"
FLAGS += " -Wl,--section-start=.init=0x1000 -Wl,-Ttext=0x2000 -Wl,-Tdata=0x20000000"
RUN = "-machine microbit -display none -monitor none -serial none"
RUN += " -semihosting-config enable=on,target=native -kernel"


@pytest.mark.emulated
def test_mismatches_are_counted_right_in_rows_of_every_length(tmp_path):
    if not shutil.which(COMPILER) or not shutil.which(QEMU):
        pytest.skip(f"{COMPILER} or {QEMU} is missing (Debian: gcc-arm-none-eabi, qemu-system-arm)")
    program, source = tmp_path / "mismatches.elf", Path(__file__).with_name("mismatches.c")
    subprocess.run([COMPILER, *FLAGS.split(), "-I", NATIVE, "-o", program, source], check=True)
    done = subprocess.run([QEMU, *RUN.split(), program], timeout=300, check=False)
    assert done.returncode == 0
