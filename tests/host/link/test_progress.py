"""A device that keeps the line busy holds the host for a limited time, and no result is wrong."""

import contextlib
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import networks
import numpy as np
import pytest
from mtjkit_core import messages as m
from mtjkit_core.errors import LinkError, MtjkitError
from mtjkit_core.frames import Deframer
from mtjkit_core.model import Model
from mtjkit_core.whole_frames import frames, pack
from mtjkit_host.boards.serial_port import SerialPort
from mtjkit_host.link.fleet import Fleet, Patience
from mtjkit_host.link.link import Link
from mtjkit_host.link.session import Session
from mtjkit_host.link.stream import StuckError
from support.hostile import pseudo_terminal
from support.paths import ROOT, python_env

pytestmark = pytest.mark.usefixtures("no_goodbye")

RAW = bytes(networks.build("thin"))
MODEL = Model(RAW)
IMAGES = np.zeros((8, *MODEL.input_shape), np.int8)
SIZE = IMAGES[0].size
ACK, BEAT = m.ACK.kind, (m.ACK.kind, b"\0")


def info(**fields):
    return m.INFO.kind, m.INFO.pack(version=m.VERSION, chunk=238, board=b"x", **fields)


class Hostile:
    """Answers a host as a device does, but for some messages, and says something all the time.

    Args:
        answers: type of message -> function of (sequence number, body); gives frames to send.
        idle: frames to send every `every_s` seconds, or a function that gives them.
    """

    def __init__(self, answers=None, idle=(), every_s=0.02, slots=2):
        self._answers = answers or {}
        self._idle = idle if callable(idle) else lambda: idle
        self._every_s = every_s
        self._slots = slots
        self._deframer = Deframer()
        self._seq = 0
        self._said_at = 0.0
        self.heard = set()
        """Types of the messages that have come."""

    def __call__(self, came, seconds):
        out = []
        for kind, seq, body in frames(self._deframer, came):
            self.heard.add(kind)
            answer = self._answers.get(kind, self._usual(kind))
            out += answer(seq, body)
        if seconds - self._said_at >= self._every_s:
            self._said_at = seconds
            out += self._idle()
        return b"".join(self._frame(kind, body) for kind, body in out)

    def _frame(self, kind, body):
        self._seq = (self._seq + 1) & 255
        return pack(kind, self._seq, body)

    def _usual(self, kind):
        def configured(seq, body):
            run = m.CONFIGURE.unpack(body).run
            return [(m.CONFIGURED.kind, m.CONFIGURED.pack(run, 1, self._slots, 0, 0, 0))]

        done = (m.MODEL_BEGIN.kind, m.MODEL_END.kind, m.STOP.kind)
        if kind == m.HELLO.kind:
            return lambda seq, body: [info()]
        if kind == m.CONFIGURE.kind:
            return configured
        if kind in done:
            return lambda seq, body: [(m.DONE.kind, bytes([seq]))]
        if kind == m.PING.kind:
            return lambda seq, body: [(ACK, bytes([seq]))]
        return nothing


def nothing(*_):
    return []


def result(index, value, classes=MODEL.classes):
    scores = np.full(classes, value, "<i4").tobytes()
    return m.RESULT.kind, m.RESULT.pack(index=index, classes=classes, data=scores)


def classify(port, timeout_s=1.0):
    with Link.open(port) as link:
        session = Session(link, timeout_s=timeout_s, hello_s=timeout_s)
        session.program(RAW)
        return {r.index: r.scores.tolist() for r in session.classify(IMAGES)}


def missing(index, offset, size):
    return lambda seq, body: [(m.MISSING.kind, m.MISSING.pack(index, offset, size))]


def no_more(seq, body):
    """The device lacks an image's first bytes, whenever it is asked or told."""
    index = m.IMAGE_DATA.unpack(body).index if len(body) > m.QUERY.size else m.QUERY.unpack(body)[0]
    return [(m.MISSING.kind, m.MISSING.pack(index, 0, SIZE))]


def lost_all(seq, body):
    return [(m.LOST.kind, bytes([seq, 255]))]


def losing():
    """A device that loses every frame of a model, and asks for the last one again and again."""
    last = bytearray(1)

    def lose(seq, body):
        last[0] = seq
        return []

    def ask():
        return [(m.LOST.kind, m.LOST.pack(last[0], 1))] if m.MODEL_DATA.kind in device.heard else []

    device = Hostile({m.MODEL_DATA.kind: lose, m.MODEL_END.kind: nothing}, ask, 0.05)
    return device


def unasked():
    return [result(random.randrange(1 << 30), 1) for _ in range(50)]


DEAF = {m.IMAGE_DATA.kind: nothing, m.QUERY.kind: nothing}
CASES = {
    "heartbeats, no INFO": (Hostile({m.HELLO.kind: nothing}, [BEAT]), "no mtjkit answers"),
    "heartbeats, no DONE": (Hostile({m.MODEL_BEGIN.kind: nothing}, [BEAT]), "does not answer"),
    "heartbeats, no CONFIGURED": (Hostile({m.CONFIGURE.kind: nothing}, [BEAT]), "not answer"),
    "heartbeats, no RESULT": (Hostile(DEAF, [BEAT]), r"no result in \d+ s, only \d+ ACK"),
    "slow heartbeats": (Hostile(DEAF, [BEAT], 0.5), r"no result in \d+ s, only \d ACK"),
    "unasked results": (Hostile(DEAF, unasked), r"no result in \d+ s, only \d+ RESULT"),
    "unasked results, no DONE": (
        Hostile({m.MODEL_END.kind: nothing}, unasked), "does not answer|all but an answer"
    ),
    "MISSING for ever": (
        Hostile({m.IMAGE_DATA.kind: no_more, m.QUERY.kind: no_more}), "no result.*MISSING"
    ),
    "LOST for ever": (Hostile({m.IMAGE_DATA.kind: lost_all}), "no result.*LOST"),
    "LOST for ever, of the model": (
        Hostile({m.MODEL_DATA.kind: lost_all}), "loses all that|no result|not answer any more"
    ),
    "model never there": (Hostile({m.MODEL_END.kind: missing(m.THE_MODEL, 0, 9)}), "lacks byte 0"),
    "model lacks nonsense": (
        Hostile({m.MODEL_END.kind: missing(m.THE_MODEL, 3, 2**32 - 1)}), "MISSING 4294967295"
    ),
    "NOT_READY for ever": (
        Hostile({m.IMAGE_DATA.kind: lambda s, b: [(m.ERROR.kind, m.ERROR.pack(4, s, data=b"no"))]}),
        "the device says: no",
    ),
    "its echo": (lambda came, seconds: came, "sends back what is sent"),
    "credit, then silence": (
        Hostile({m.HELLO.kind: lambda s, b: [info(credit=128)], m.MODEL_DATA.kind: nothing,
                 m.PING.kind: nothing}), "stopped reading"
    ),
    "credit, then heartbeats": (
        Hostile({m.HELLO.kind: lambda s, b: [info(credit=128)], m.MODEL_BEGIN.kind:
                 lambda s, b: [(m.DONE.kind, bytes([s]))], m.PING.kind: nothing},
                [(ACK, b"\x80")]), "stopped reading|no result"
    ),
}  # fmt: skip


def end_of(device):
    """The error that ends a run with a device, and the seconds until then."""
    started = time.monotonic()
    with pseudo_terminal(device) as port, pytest.raises(MtjkitError) as caught:
        classify(port)
    return caught.value, time.monotonic() - started


@pytest.fixture(scope="module")
def ends():
    """Name -> end of a run with that device. They wait side by side."""
    with ThreadPoolExecutor(len(CASES)) as pool:
        futures = {name: pool.submit(end_of, device) for name, (device, _) in CASES.items()}
    return {name: future.result() for name, future in futures.items()}


@pytest.mark.parametrize("name", CASES)
def test_a_busy_line_ends_in_time(name, ends):
    error, seconds = ends[name]
    assert re.search(CASES[name][1], str(error))
    assert seconds < 60  # a few seconds, and what a busy machine takes


def test_a_fleet_does_not_try_a_stuck_device_again():
    fleet_patience = Patience(silent_s=1, hello_s=1)
    with pseudo_terminal(Hostile(DEAF, [BEAT])) as port:
        fleet = Fleet([SerialPort(port)], RAW, patience=fleet_patience)
        with pytest.raises(StuckError, match="no result"):
            list(fleet.classify(dict(enumerate(IMAGES))))
    assert fleet.connections == 1


def mixed():
    """Results twice, in any order, between those of images that nobody sent."""
    kept = []

    def answer(seq, body):
        index, offset, _, data = m.IMAGE_DATA.unpack(body)
        if offset + len(data) < SIZE:
            return []
        kept.append(index)
        out = [result(index, index), result(index, index), result(index + 1000, 77)]
        random.Random(index).shuffle(out)
        return out + [result(k, k) for k in kept]  # those that are done, again

    return answer


def test_results_twice_and_of_images_never_sent_are_never_wrong():
    with pseudo_terminal(Hostile({m.IMAGE_DATA.kind: mixed()})) as port:
        assert classify(port) == {i: [i] * MODEL.classes for i in range(8)}


def interrupt_a_run(port, folder, device, kind):
    """Start `run`, press Ctrl-C once the device has heard a message of a type.

    Returns:
        Seconds until the command ended, its status, its stderr.
    """
    device.heard.clear()  # of a test before
    words = ["run", "--port", port, "--images", "8"]
    run = subprocess.Popen(
        [sys.executable, "-m", "invoke", "--search-root", ROOT, *words],
        env=python_env(), cwd=folder, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        until = time.monotonic() + 120
        while kind not in device.heard and run.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        assert run.poll() is None, run.communicate()
        pressed = time.monotonic()
        run.send_signal(signal.SIGINT)
        err = run.communicate(timeout=100)[1]
        return time.monotonic() - pressed, run.returncode, err
    finally:
        run.kill()
        run.communicate()


SLOW_ENDS = {
    "heartbeats": (lambda: Hostile(DEAF, [BEAT], 0.5), m.IMAGE_DATA.kind),
    "LOST for ever": (losing, m.MODEL_DATA.kind),
    "credit, then silence": (lambda: CASES["credit, then silence"][0], m.MODEL_BEGIN.kind),
    "no INFO": (lambda: Hostile({m.HELLO.kind: nothing}, [BEAT]), m.HELLO.kind),
}
"""Name -> (the device's maker, type of the message after which the host waits for long)."""


@pytest.mark.program
@pytest.mark.parametrize(
    "name",
    ["heartbeats", "LOST for ever"]
    + [pytest.param(name, marks=pytest.mark.slow) for name in ("credit, then silence", "no INFO")],
)
def test_ctrl_c_ends_a_run_soon(name, tmp_path):
    """Within a second on an idle machine: long before the ten seconds that an answer may take."""
    make, kind = SLOW_ENDS[name]
    device = make()
    with pseudo_terminal(device) as port:
        seconds, status, err = interrupt_a_run(port, tmp_path, device, kind)
    assert (status, "Traceback" in err) == (130, False), err
    assert seconds < 8


def test_an_interrupt_ends_a_write_to_a_socket_that_takes_nothing():
    ends = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        link = Link.open(f"socket://127.0.0.1:{listener.getsockname()[1]}")
        with link, listener.accept()[0]:

            def send():
                with contextlib.suppress(LinkError):
                    for _ in range(1000):
                        link.send(m.MODEL_DATA.kind, *[bytes(240)] * 256)  # 62 MB in all
                    return
                ends.append(time.monotonic())

            sender = threading.Thread(target=send)
            sender.start()
            time.sleep(0.5)  # the line is full
            assert sender.is_alive()
            pressed = time.monotonic()
            link.interrupt()
            sender.join(10)
        assert ends
        assert ends[0] - pressed < 8  # at once, and what a busy machine takes
