"""Links over real pseudo-terminals and sockets."""

import fcntl
import os
import pty
import select
import socket
import struct
import termios
import threading
import time
import tty

import pytest
import serial
from mtjkit_core import messages as m
from mtjkit_core.errors import LinkError
from mtjkit_core.frames import Deframer
from mtjkit_core.whole_frames import frames, pack
from mtjkit_host.link import link as link_module
from mtjkit_host.link.link import Link

pytestmark = pytest.mark.usefixtures("no_goodbye")


@pytest.fixture
def line():
    """A raw pseudo-terminal: (the device's end, the host's path)."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    yield master, os.ttyname(slave)
    os.close(slave)
    os.close(master)


def read_frames(master: int, count: int) -> list[tuple[int, int, bytes]]:
    deframer = Deframer()
    out: list[tuple[int, int, bytes]] = []
    while len(out) < count:
        out.extend(frames(deframer, os.read(master, 4096)))
    return out


def test_frames_cross_both_ways_whatever_their_bytes(line):
    master, path = line
    with Link.open(path) as link:
        bodies = [bytes(range(i, i + 200, 1)) for i in range(56)]
        assert link.send(m.MODEL_DATA.kind, *bodies[:3]) == [0, 1, 2]
        assert read_frames(master, 3) == [(m.MODEL_DATA.kind, i, bodies[i]) for i in range(3)]
        os.write(master, b"".join(pack(0x81, i, body) for i, body in enumerate(bodies[:5])))
        for body in bodies[:5]:
            frame = link.receive(1)
            assert frame is not None
            assert frame.body == body
            assert not frame.lost_before


def test_an_interruption_while_the_port_closes(line):
    _, path = line
    for _ in range(100):
        failures = []
        link = Link.open(path)
        closed = threading.Event()

        def interrupt(link=link, closed=closed, failures=failures):
            try:
                while not closed.is_set():
                    link.interrupt()
            except Exception as error:
                failures.append(error)

        thread = threading.Thread(target=interrupt)
        thread.start()
        link.close()
        closed.set()
        thread.join()
        assert failures == []


def test_a_gap_in_the_numbers_is_told(line):
    master, path = line
    with Link.open(path) as link:
        os.write(master, pack(0x81, 250) + pack(0x81, 251) + pack(0x81, 253))
        assert [link.receive(1).lost_before for _ in range(3)] == [False, False, True]


def test_what_was_sent_can_be_looked_up(line):
    _, path = line
    with Link.open(path) as link:
        for i in range(300):
            link.send(m.QUERY.kind, bytes([i & 255]))
        assert link.sent(42, 2) == [(m.QUERY.kind, b"\x2a"), (m.QUERY.kind, b"\x2b")]


def test_a_greeting_holds_no_ctrl_c(line):
    """A board that is just starting would be stopped by it."""
    with Link.open(line[1]) as link:
        for _ in range(300):
            [seq] = link.send(m.HELLO.kind, m.HELLO.pack(m.MAGIC, m.VERSION))
            kind, body = link.sent(seq, 1)[0]
            assert 3 not in pack(kind, seq, body)


def test_nothing_comes(line):
    with Link.open(line[1]) as link:
        assert link.receive(0.01) is None


def test_the_other_end_goes_away():
    master, slave = pty.openpty()
    tty.setraw(slave)
    with Link.open(os.ttyname(slave)) as link:
        os.close(slave)
        os.close(master)
        with pytest.raises(LinkError, match="the connection is gone"):
            link.receive(2)
        with pytest.raises(LinkError):
            link.receive(2)


def test_a_port_that_is_not_there():
    with pytest.raises(LinkError, match=r"^/dev/ttyNONE: there is no such port$"):
        Link.open("/dev/ttyNONE")


def test_a_port_that_makes_no_sense():
    with pytest.raises(LinkError, match="nonsense://"):
        Link.open("nonsense://x")


def test_a_busy_port(line):
    with Link.open(line[1]), pytest.raises(LinkError, match="busy"):
        Link.open(line[1])


def test_a_socket():
    with socket.create_server(("127.0.0.1", 0)) as server:
        link = Link.open(f"socket://127.0.0.1:{server.getsockname()[1]}")
        peer, _ = server.accept()
        with link, peer:
            link.send(m.PING.kind, b"")
            assert peer.recv(100) == b"\0\0" + pack(m.PING.kind, 0)
            peer.sendall(pack(m.DONE.kind, 0, b"\0"))
            assert link.receive(1).kind == m.DONE.kind


class Reader(threading.Thread):
    """Reads a few bytes at a time, and pauses between."""

    def __init__(self, end, pause_s):
        super().__init__()
        self.bodies = []
        self.done = threading.Event()
        self._end = end
        self._pause_s = pause_s

    def run(self):
        deframer = Deframer()
        while select.select([self._end], [], [], 0.3)[0] or not self.done.is_set():
            if select.select([self._end], [], [], 0.01)[0]:
                self.bodies += [body for _, _, body in frames(deframer, os.read(self._end, 256))]
                time.sleep(self._pause_s)

    def finish(self):
        self.done.set()
        self.join()
        return self.bodies


def test_a_line_that_is_slow_but_not_dead_gets_everything_once(line, monkeypatch):
    monkeypatch.setattr(link_module, "_WRITE_S", 1.5)
    master, path = line
    bodies = [bytes([i]) * 240 for i in range(200)]  # 50 kB, in some 2 s
    reader = Reader(master, 0.01)
    reader.start()
    with Link.open(path) as link:
        link.send(m.MODEL_DATA.kind, *bodies)
        assert reader.finish() == bodies


def test_a_device_that_computes_takes_nothing_for_a_while(line, monkeypatch):
    monkeypatch.setattr(link_module, "_WRITE_S", 0.2)
    master, path = line
    bodies = [bytes([i % 250, i // 250]) * 120 for i in range(400)]  # more than a line holds
    reader = Reader(master, 0)
    with Link.open(path) as link:
        sender = threading.Thread(target=link.send, args=(m.MODEL_DATA.kind, *bodies))
        sender.start()
        time.sleep(1)
        reader.start()
        sender.join()
        assert set(reader.finish()) == set(bodies)


def test_nobody_listens_on_a_socket():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(LinkError):
        Link.open(f"socket://127.0.0.1:{port}")


def test_credit_is_never_exceeded(line):
    """A device that reads nothing for a while, with 256 bytes of buffer."""
    master, path = line
    with Link.open(path) as link:
        link.credit.limit = 256
        body = bytes(100)
        sender = threading.Thread(target=lambda: link.send(m.IMAGE_DATA.kind, *[body] * 6))
        sender.start()
        seen = 0
        while seen < 6:
            [(_, seq, _)] = read_frames(master, 1)
            seen += 1
            sender.join(0.05)  # time to send more than it may
            assert waiting(master) <= 256 - 80
            os.write(master, pack(m.ACK.kind, seen, bytes([seq + 1])))
        sender.join(2)
        assert not sender.is_alive()


def waiting(end):
    """Bytes that can be read there, once all have come through."""
    time.sleep(0.1)
    return struct.unpack("i", fcntl.ioctl(end, termios.FIONREAD, bytes(4)))[0]


def test_questions_never_exceed_the_credit(line):
    master, path = line
    with Link.open(path) as link:
        link.credit.limit = 256
        link.send(m.IMAGE_DATA.kind, bytes(100))
        before = waiting(master)
        for _ in range(5):
            link.ask(m.QUERY.kind, bytes(m.QUERY.size))
        assert before < waiting(master) <= before + 80  # one of them is on its way
        _, (_, seq, _) = read_frames(master, 2)
        os.write(master, pack(m.ACK.kind, 0, bytes([seq + 1])))
        assert link.receive(0.2) is None  # it is not a frame for anybody
        link.ask(m.QUERY.kind, bytes(m.QUERY.size))
        assert 0 < waiting(master) <= 80


def test_exclusive_access_is_given_back(line):
    with Link.open(line[1]):
        pass
    serial.Serial(line[1], exclusive=True).close()
