"""A device that answers anything at all: the host ends in one of its own errors, and soon."""

import os
import pty
import select
import threading
import tty

import networks
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mtjkit_core import messages as m
from mtjkit_core.errors import MtjkitError
from mtjkit_core.frames import Deframer
from mtjkit_core.model import Model
from mtjkit_core.whole_frames import frames, pack
from mtjkit_host.link import requests, stream
from mtjkit_host.link.link import Link
from mtjkit_host.link.session import Session

RAW = bytes(networks.build("thin"))
IMAGES = np.zeros((2, *Model(RAW).input_shape), np.int8)
INFO = m.INFO.pack(version=m.VERSION, chunk=238, board=b"x")

small = st.integers(0, 3) | st.integers(0, 255)
answers = st.one_of(
    st.tuples(st.integers(0, 255), st.binary(max_size=248)),
    st.builds(lambda *v: (m.INFO.kind, INFO[:v[0]] + bytes([v[1]]) + INFO[v[0] + 1 :]),
              st.integers(0, 99), small),
    st.builds(lambda *v: (m.RESULT.kind, m.RESULT.pack(*v[:-1], data=v[-1])),
              *[small] * 9, st.binary(max_size=40)),
    st.builds(lambda *v: (m.MISSING.kind, m.MISSING.pack(*v)),
              small | st.just(m.THE_MODEL), small | st.just(2**32 - 1), st.integers(0, 2**32 - 1)),
    st.builds(lambda *v: (m.LOST.kind, bytes(v)), small, small),
    st.builds(lambda *v: (m.ERROR.kind, bytes(v[:2]) + v[2]), small, small, st.binary(max_size=9)),
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def no_patience(no_goodbye):
    """The host's pauses, shortened: which error ends a request does not hang on their length."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (requests, stream):
            patch.setattr(module, "FIRST_PROBE_S", 0.02)
        yield


class Device:
    """Takes requests, and answers each with the next thing on its list; at its end it hangs up."""

    def __init__(self, script):
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self.path = os.ttyname(self.slave)
        self._script = script
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self):
        self._thread.start()

    def _run(self):
        deframer = Deframer()
        todo = list(self._script)
        seq = 0
        while todo and not self._stop.is_set():
            if not select.select([self.master], [], [], 0.02)[0]:
                continue
            for kind, asked, body in frames(deframer, os.read(self.master, 4096)):
                if not todo:
                    break
                if kind in (m.MODEL_DATA.kind, m.IMAGE_DATA.kind):
                    continue
                answer = todo.pop(0)
                if answer == "right":
                    answer = self._right(kind, asked, body)
                os.write(self.master, pack(answer[0], seq & 255, answer[1]))
                seq += 1
        os.close(self.slave)
        os.close(self.master)

    def _right(self, kind, asked, body):
        if kind == m.HELLO.kind:
            return m.INFO.kind, INFO
        if kind == m.CONFIGURE.kind:
            run = m.CONFIGURE.unpack(body).run
            return m.CONFIGURED.kind, m.CONFIGURED.pack(run, 1, 2, 0, 0, 0)
        return m.DONE.kind, bytes([asked])

    def join(self):
        self._stop.set()
        self._thread.join()


@given(st.lists(st.just("right") | answers, max_size=12))
@settings(max_examples=20, deadline=None)
def test_any_answers_end_in_a_named_error(script):
    talk(script)


@given(st.integers(5, 6), st.lists(answers, min_size=1, max_size=8))
@settings(max_examples=20, deadline=None)
def test_any_answers_in_the_middle_of_a_run(right, script):
    talk(["right"] * right + script)


def talk(script):
    device = Device(script)
    with Link.open(device.path) as link, pytest.raises(MtjkitError) as caught:  # noqa: PT012
        device.start()
        session = Session(link, timeout_s=0.1, hello_s=0.1)
        session.program(RAW)
        session.run(IMAGES)
        session.program(RAW[:-1])  # whatever was answered: FormatError
    device.join()
    assert "\n" not in str(caught.value)
