"""A board is one folder: every tool reads its board.toml, and what is wrong in one is named."""

import ast
import re
import shutil

import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_host.boards.build import rp2, steps
from mtjkit_host.boards.catalog import board_named, boards, native_of, processor_of, read_board
from mtjkit_host.boards.emulate import EMULATORS
from mtjkit_host.boards.firmware import BUILDERS
from mtjkit_host.paths import BOARDS, DEVICE

M4 = """
title = "A Cortex-M4 of one's own"
architecture = "armv7emsp"
port = "qemu"
platforms = ["qemu"]
flow_control = true

[build]
with = "qemu"
image = "firmware.elf"
heap_bytes = 524288
heap_range = [65536, 3932160]
cpu = "Cortex-M4"
flags = "-mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16"
code = 0x00000000
ram = 0x20000000
serial = 0x40004000
serial_irq = 0
clock = 0x40028018
clock_hz = 25000000

[emulate]
with = "qemu"
system = "arm"
machine = "mps2-an386"
options = []
serial_bytes = 262144

[romfs]
address = 0x21800000
bytes = 8388608
"""


def write(folder, text, name="mine"):
    path = folder / name / "board.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_builders_and_emulators_of_all_boards_are_there():
    assert set(boards()) == {path.parent.name for path in BOARDS.glob("*/board.toml")}
    for name, spec in boards().items():
        assert not spec.builder or spec.builder in BUILDERS, name
        assert not spec.emulator or spec.emulator in EMULATORS, name
        firmware = spec.builder or spec.firmware_of in boards()
        assert not spec.emulator or (firmware and spec.romfs), name


@pytest.mark.parametrize(
    ("machine", "native"),
    [
        ("Raspberry Pi Pico2 with RP2350-RISCV", "rv32imc-zbb"),
        ("Raspberry Pi Pico2 with RP2350", ""),
        ("Alif Ensemble DevKit with AE722F80F55D5XX", "armv7emsp-mve"),
        ("ESP32C3 module with ESP32C3", ""),
        ("virt-rv32 with rv32imac", ""),
        ("", ""),
    ],
)
def test_a_processor_known_by_name_takes_its_own_native_module(machine, native):
    assert native_of(machine) == native


def test_an_unknown_native_module_is_refused(tmp_path):
    path = write(tmp_path, 'native = "rv32imc-zbc"\n' + M4)
    with pytest.raises(ConfigError, match=r"native 'rv32imc-zbc' is unknown: one of x64, .*zbb"):
        read_board(path)


def test_the_device_knows_the_same_lines_with_flow_control():
    tree = ast.parse((DEVICE / "lib/mtjkit_device/board.py").read_text())
    assigned = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    known = {p for spec in boards().values() if spec.flow_control for p in spec.platforms}
    assert set(ast.literal_eval(assigned["FLOW_CONTROLLED"])) == known


def test_the_heap_of_a_processor_that_was_not_measured():
    assert processor_of("armv7emdp") is not None
    assert processor_of("armv7emdp") == processor_of("armv7m") != processor_of("armv6m")
    assert processor_of("xtensawin") == processor_of("armv6m")  # the largest


def test_the_picos_flash_is_used_up_to_its_end():
    made = rp2.configuration(board_named("pico"))
    numbers = dict(re.findall(r"MICROPY_HW_(\w+) \((\d+)\)", made["mpconfigboard.h"]))
    assert numbers == {"ROMFS_BYTES": str(896 << 10), "FLASH_STORAGE_BYTES": str(640 << 10)}
    assert 'set(PICO_PLATFORM "rp2040")' in made["mpconfigboard.cmake"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("title", "name"), "title is missing"),
        (("armv7emsp", "armv9"), "architecture 'armv9' is unknown: one of x86, x64"),
        (("flow_control = true", "flow_control = 1"), "flow_control must be true or false, not 1"),
        (('["qemu"]', "[1]"), "platforms must hold only"),
        (("524288", "-1"), "heap_bytes must be a whole number, not -1"),
        (("[65536, 3932160]", "[1]"), "heap_range must hold the smallest and the largest heap"),
        (("bytes = 8388608", "size = 1"), r"\[romfs\]: bytes is missing"),
        (('port = "qemu"', 'port = "qemu"\ncolour = "red"'), "colour: no such field"),
    ],
)
def test_what_is_wrong_in_a_board_toml_is_named(tmp_path, change, reason):
    path = write(tmp_path, M4.replace(*change, 1))
    with pytest.raises(ConfigError, match=f"^{re.escape(str(path))}.*{reason}"):
        read_board(path)


def test_a_builder_a_machine_or_a_mapped_memory_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("MTJKIT_BOARDS", str(tmp_path))
    from mtjkit_host.boards.firmware import build_firmware, find_firmware

    write(tmp_path, M4.replace('with = "qemu"', 'with = "esp32"'))
    with pytest.raises(ConfigError, match="builder 'esp32' is unknown: one of qemu, rp2"):
        find_firmware("mine")
    write(tmp_path, M4[: M4.index("[romfs]")])
    with pytest.raises(ConfigError, match=r"this board needs a \[romfs\]"):
        BUILDERS["qemu"].build(board_named("mine"), tmp_path, tmp_path / "a.elf", 1)
    write(tmp_path, M4.replace("cpu =", "core ="))
    with pytest.raises(ConfigError, match=r"mine/board\.toml: cpu must be a text, not None"):
        BUILDERS["qemu"].build(board_named("mine"), tmp_path, tmp_path / "a.elf", 1)
    with pytest.raises(ConfigError, match="--heap of mine must be from 65536 to 3932160, not 7"):
        build_firmware("mine", 7)


@pytest.mark.emulated
@pytest.mark.slow
def test_a_new_board_is_one_folder(tmp_path, monkeypatch, invoke, emulator):
    """A Cortex-M4 that nobody has built before: built, flashed, and run like all others."""
    emulator("mps2-an385")  # its tools are here
    write(tmp_path, M4, "my-cortex-m4")
    monkeypatch.setenv("MTJKIT_BOARDS", str(tmp_path))
    assert "my-cortex-m4: A Cortex-M4 of one's own, emulated by qemu" in invoke("boards")
    try:
        invoke("firmware", "--board", "my-cortex-m4")
        said = invoke("run", "--board", "my-cortex-m4", "--images", 1)
    finally:
        shutil.rmtree(steps.BUILD / "my-cortex-m4", ignore_errors=True)
    assert re.search(r"images +│ 1, ", said), said
