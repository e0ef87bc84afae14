"""The assembler modules' instructions that stand as numbers are what their comments say."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

DEVICE = Path(__file__).parents[2] / "firmware/micropython/lib/mtjkit_device/kernels"
NUMBERS = re.compile(r"^ +data\(2, (?P<codes>[^)]*)\)  # (?P<text>.*)$", re.M)


def assembled(lines, folder):
    """Machine code of instructions, as a list of 16-bit numbers."""
    source, target, raw = (folder / name for name in ("a.s", "a.o", "a.bin"))
    source.write_text("\n".join([".syntax unified", ".thumb", *lines, ""]))
    command = ["arm-none-eabi-as", "-mcpu=cortex-m3", "-o", str(target), str(source)]
    subprocess.run(command, check=True)
    copy = ["arm-none-eabi-objcopy", "-O", "binary", str(target), str(raw)]
    subprocess.run(copy, check=True)
    content = raw.read_bytes()
    return [int.from_bytes(content[i : i + 2], "little") for i in range(0, len(content), 2)]


@pytest.mark.parametrize("path", sorted(DEVICE.glob("thumb_*.py")), ids=lambda path: path.stem)
def test_numbers_are_what_the_comments_say(path, tmp_path):
    if not shutil.which("arm-none-eabi-as"):
        pytest.skip("no arm-none-eabi-as (Debian: apt install gcc-arm-none-eabi)")
    text = path.read_text()
    found = list(NUMBERS.finditer(text))
    assert len(found) == text.count("data(")
    codes = [int(code, 16) for match in found for code in match["codes"].split(", ")]
    # Padded by the assembler to a multiple of 4 bytes, if at all.
    assert assembled([match["text"] for match in found], tmp_path)[: len(codes)] == codes
