"""A board on a UART: 256 bytes of receive buffer, and what comes when it is full is gone."""

import fcntl
import os
import pty
import select
import struct
import termios
import threading
import tty

import networks
import numpy as np
import pytest
from mtjkit_core.model import Model
from mtjkit_core.write_errors import WriteErrors
from mtjkit_host.boards.unix_port import start_micropython, stop_process
from mtjkit_host.link.link import Link
from mtjkit_host.link.session import Session
from mtjkit_host.simulate.binary_numpy import BinaryNumpy

BUFFER = 256
SCRIPT = """
import time

from mtjkit_device.board import UART_CREDIT
from mtjkit_device.serial_line import SMALL_CHUNK, Line
from mtjkit_device.server import Server

line = Line()
line.credit = UART_CREDIT
line.chunk = SMALL_CHUNK
time.sleep(%g)
Server(line).serve()
"""


class Uart:
    """Passes bytes on; those that find the device's buffer full are lost, and counted."""

    def __init__(self, micropython, folder, starts_after_s):
        script = folder / "uart.py"
        script.write_text(SCRIPT % starts_after_s)
        self.host, self._far = pty.openpty()
        self._device, self._near = pty.openpty()
        for end in (self._far, self._near):
            tty.setraw(end)
        self.process = start_micropython(self._near, micropython, script=script)
        self.path = os.ttyname(self._far)
        self.lost = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self):
        self._stop.set()
        self._thread.join()
        for end in (self.host, self._far, self._device, self._near):
            os.close(end)
        stop_process(self.process, 0)

    def _run(self):
        while not self._stop.is_set():
            for end in select.select([self.host, self._device], [], [], 0.05)[0]:
                data = os.read(end, 64)  # so little at a time that no buffer is exceeded unseen
                if end == self.host:
                    waiting = struct.unpack("i", fcntl.ioctl(self._near, termios.FIONREAD, b"1234"))
                    room = max(0, BUFFER - waiting[0])
                    self.lost += max(0, len(data) - room)
                    os.write(self._device, data[:room])
                else:
                    os.write(self.host, data)


@pytest.fixture(params=[0, 1], ids=["ready", "slow to start"])
def uart(micropython, tmp_path, request):
    """Where it is slow to start, its buffer is full of HELLOs when it does."""
    uart = Uart(micropython, tmp_path, request.param)
    yield uart
    uart.close()


def test_a_slow_board_is_never_overrun(uart):
    raw = bytes(networks.build("pooled"))
    images = np.random.default_rng(0).integers(-128, 128, (5, *Model(raw).input_shape), np.int8)
    with Link.open(uart.path) as link:
        session = Session(link)
        assert (session.info.credit, session.info.chunk) == (256, 64)
        uart.lost = 0  # before it knows of the credit, a host may be too fast
        errors = WriteErrors(limits=1 << 27)
        session.program(raw, errors, "python")
        result = session.run(images)
        expected, counts = BinaryNumpy(Model(raw)).run(
            images, np.arange(5, dtype=np.uint32), errors
        )
        assert (result.scores == expected).all()
        assert (result.counts == counts.sum(0)).all()
    assert uart.lost == 0
