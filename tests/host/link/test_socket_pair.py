"""Links over a socket pair: no thread reads them, blocks travel behind frames."""

import socket
import threading
import time

import numpy as np
import pytest
from mtjkit_core import messages as m
from mtjkit_core.blocks import IMAGE_BLOCK, TAKES_BLOCKS
from mtjkit_core.errors import LinkError
from mtjkit_core.frames import Deframer
from mtjkit_core.whole_frames import frames, pack
from mtjkit_host.link.link import Link
from mtjkit_host.link.requests import Requests
from mtjkit_host.link.socket_pair import SocketPair
from mtjkit_host.link.stream import Stream


@pytest.fixture
def pair():
    """A link, and the device's end of its line."""
    near, far = socket.socketpair()
    with far, Link(SocketPair(near), "pair", "unix") as link:
        yield link, far


def test_what_comes_while_a_write_waits_is_kept(pair):
    link, far = pair
    data = bytes(range(256)) * 8000

    def device():
        far.sendall(pack(m.DONE.kind, 0, b"\1"))
        time.sleep(0.1)
        left = len(data) + 14  # zeros and the frame
        while left:
            left -= len(far.recv(1 << 16))
        far.sendall(pack(m.DONE.kind, 1, b"\2"))

    thread = threading.Thread(target=device)
    thread.start()
    link.send_block(0x0B, b"1234", data)
    bodies = [link.receive(5.0).body for _ in range(2)]
    thread.join()
    assert bodies == [b"\1", b"\2"]
    assert link.receive(0.0) is None


def test_a_device_that_reads_nothing_and_says_nothing_is_stuck(pair, monkeypatch):
    monkeypatch.setattr("mtjkit_host.link.link._WRITE_S", 0.02)
    link, _ = pair
    link.patience_s = 0.1
    with pytest.raises(LinkError, match=r"^pair: the device has stopped reading$"):
        link.write(bytes(1 << 23))


def test_the_other_end_is_closed(pair):
    link, far = pair
    far.sendall(pack(m.DONE.kind, 0, b"\1"))
    far.close()
    assert link.receive(0.0).body == b"\1"
    for _ in range(2):
        with pytest.raises(LinkError, match=r"^pair: the connection is gone$"):
            link.receive(1.0)
    with pytest.raises(LinkError, match=r"^pair: the connection is gone$"):
        link.send(m.PING.kind, b"")


@pytest.mark.parametrize(
    "act", [lambda link: link.receive(9), lambda link: link.write(bytes(1 << 23))]
)
def test_an_interruption_from_another_thread(pair, act):
    link, _ = pair
    threading.Timer(0.1, link.interrupt).start()
    began = time.monotonic()
    with pytest.raises(LinkError, match="pair: interrupted"):
        act(link)
    assert time.monotonic() - began < 5


def test_a_flood_ends(pair):
    link, far = pair
    flood = pack(m.DONE.kind, 0, b"\1") * 7000
    threading.Thread(target=lambda: [far.sendall(flood) for _ in range(10)], daemon=True).start()
    with pytest.raises(LinkError, match="sends data nobody asked for"):
        link.write(bytes(1 << 23))
    far.shutdown(socket.SHUT_RDWR)


def test_an_image_that_arrived_damaged_is_sent_again_in_frames(pair):
    link, far = pair
    image = bytes(range(256)) * 2
    seen = []

    def device():
        deframer, seq = Deframer(), 0
        skip = 0
        while data := far.recv(1 << 16):
            data = data[skip:]
            for kind, _, body in frames(deframer, data):
                seen.append(kind)
                if kind == IMAGE_BLOCK.kind:
                    index, _, _ = IMAGE_BLOCK.unpack(body)
                    assert data.endswith(image)
                    far.sendall(pack(m.MISSING.kind, seq, m.MISSING.pack(index, 0, len(image))))
                    seq += 1
                    break
                if m.IMAGE_DATA.unpack(body).offset == 476:
                    scores = np.arange(3, dtype="<i4").tobytes()
                    body = m.RESULT.pack(index=index, classes=3, us=5, data=scores)
                    far.sendall(pack(m.RESULT.kind, seq, body))

    thread = threading.Thread(target=device, daemon=True)
    thread.start()
    stream = Stream(Requests(link, 5.0), m.CHUNK, 1, 3, blocks=True)
    (result,) = stream.run([(7, image)])
    far.shutdown(socket.SHUT_RDWR)
    thread.join()
    assert result.index == 7
    assert result.scores.tolist() == [0, 1, 2]
    assert seen == [IMAGE_BLOCK.kind] + [m.IMAGE_DATA.kind] * 3


def test_only_a_line_that_loses_nothing_carries_blocks(micropython):
    from mtjkit_host.boards.unix_port import UnixPort

    with UnixPort(micropython) as link:
        info = Requests(link, 5.0).hello(5.0)
        assert info.takes_blocks
        assert link.loses_nothing
    assert TAKES_BLOCKS & (m.HAS_MODEL | m.MAPPED | m.PROGRAMMED) == 0
