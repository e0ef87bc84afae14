"""A board that is unplugged and comes back elsewhere, as ttyACM0 comes back as ttyACM1.

Boards are MicroPython processes on pseudo-terminals; only pyserial's list of USB ports is made up.
"""

import os
import pty
import threading
import tty
from types import SimpleNamespace

import networks
import numpy as np
import pytest
from mtjkit_core.errors import LinkError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import WriteErrors
from mtjkit_host.boards.serial_port import SerialPort
from mtjkit_host.boards.unix_port import start_micropython, stop_process
from mtjkit_host.link.fleet import Fleet, Patience
from mtjkit_host.simulate.binary_numpy import BinaryNumpy
from serial.tools import list_ports

COUNT = 120
ERRORS = WriteErrors(5, limits=1 << 26)
MODEL = bytes(networks.build("pooled"))
IMAGES = np.random.default_rng(4).integers(-128, 128, (30, *Model(MODEL).input_shape), np.int8)


class Bus:
    """USB with boards on it, by path."""

    def __init__(self, micropython):
        self._micropython = micropython
        self.boards = {}
        self._slots = []  # kept open: no path is given out twice, no board ends unheard

    def plug(self, serial_number):
        """Plug a board in; returns its path, which is always another."""
        master, slave = pty.openpty()
        tty.setraw(slave)
        process = start_micropython(master, self._micropython)
        os.close(master)
        path = os.ttyname(slave)
        self._slots.append(slave)
        self.boards[path] = (serial_number, process)
        return path

    def unplug(self, path):
        _, process = self.boards.pop(path)
        stop_process(process, 0)

    def close(self):
        for path in list(self.boards):
            self.unplug(path)
        for slot in self._slots:
            os.close(slot)

    def comports(self):
        return [SimpleNamespace(device=p, serial_number=n) for p, (n, _) in self.boards.items()]


@pytest.fixture
def bus(micropython, monkeypatch):
    bus = Bus(micropython)
    monkeypatch.setattr(list_ports, "comports", bus.comports)
    yield bus
    bus.close()


def classify(port, at_20, patience=None):
    """All scores; calls `at_20` after 20 results, before the device has half of the images."""
    fleet = Fleet([port], MODEL, ERRORS, patience=patience)
    called = threading.Event()
    scores = {}

    def hold(index):
        """The device gets the second half of the images only after the call."""
        if index >= COUNT // 2:
            called.wait(60)

    for result in fleet.classify({i: IMAGES[i % 30] for i in range(COUNT)}, hold):
        scores[result.index] = result.scores
        if len(scores) == 20:
            at_20()
            called.set()
    return [scores[i].tolist() for i in range(COUNT)]


@pytest.fixture(scope="module")
def expected():
    indices = np.arange(COUNT, dtype=np.uint32)
    return BinaryNumpy(Model(MODEL)).run(IMAGES[indices % 30], indices, ERRORS)[0].tolist()


def test_a_board_that_comes_back_at_another_port_is_found_by_its_number(bus, expected):
    paths = [bus.plug("E660")]
    port = SerialPort(paths[0])

    def move():
        bus.unplug(paths[0])
        bus.plug("other")  # not ours: it must be left alone
        paths.append(bus.plug("E660"))

    assert classify(port, move) == expected
    assert port.name == paths[0]
    assert port.port == paths[1] != paths[0]


def test_another_board_at_our_port_is_not_taken_for_ours(bus):
    path = bus.plug("E660")
    port = SerialPort(path)
    _, process = bus.boards[path]
    bus.boards[path] = ("other", process)
    with pytest.raises(LinkError, match="the board E660 is not plugged in"):
        port.connect()


def test_a_board_that_stays_unplugged_is_named(bus):
    path = bus.plug("E660")
    with pytest.raises(LinkError, match=f"^{path}: the board E660 is not plugged in$"):
        classify(SerialPort(path), lambda: bus.unplug(path), Patience(away_s=0.3))


def test_a_link_to_the_port_will_do(bus, tmp_path, expected):
    """/dev/serial/by-id/usb-Board-in-Pico_E660 -> ../../ttyACM0; with a space for good measure."""
    link = tmp_path / "usb Board"
    path = bus.plug("E660")
    link.symlink_to(path)
    port = SerialPort(str(link))

    def move():
        bus.unplug(path)
        link.unlink()
        link.symlink_to(bus.plug("E660"))

    assert classify(port, move) == expected


def test_boards_of_one_number_keep_their_ports(bus):
    """Cheap adapters all say 0001."""
    first, second = sorted([bus.plug("0001"), bus.plug("0001")])
    ports = [SerialPort(first), SerialPort(second)]
    for port, path in zip(ports, (first, second), strict=True):
        with port.connect():
            assert port.port == path
    bus.unplug(first)
    with ports[1].connect():
        assert ports[1].port == second


def test_a_port_without_a_number_is_known_by_its_path(bus):
    path = bus.plug(None)
    with SerialPort(path).connect() as link:
        assert link.name == path
