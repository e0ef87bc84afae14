"""Several images are on their way at the same time: the line is never idle."""

import os
import pty
import select
import threading
import tty

import numpy as np
import pytest
from mtjkit_core import messages as m
from mtjkit_core.errors import LinkError, ProtocolError
from mtjkit_core.frames import Deframer
from mtjkit_core.whole_frames import frames, pack
from mtjkit_host.link.link import Link
from mtjkit_host.link.requests import Requests
from mtjkit_host.link.stream import Stream

pytestmark = pytest.mark.usefixtures("no_goodbye")

SIZE = 500  # bytes of an image: three chunks


class LazyDevice(threading.Thread):
    """Computes nothing before all slots are full; `most` is how many images waited at once."""

    def __init__(self, slots):
        super().__init__()
        self._end, self._far = pty.openpty()
        tty.setraw(self._far)
        self.path = os.ttyname(self._far)
        self.most = 0
        self.slots_used = set()
        self._slots = slots
        self.done = threading.Event()

    def run(self):
        deframer = Deframer()
        come = {}
        seq = 0
        while not self.done.is_set():
            if not select.select([self._end], [], [], 0.02)[0]:
                ready = come  # the last ones are fewer
            else:
                for kind, _, body in frames(deframer, os.read(self._end, 4096)):
                    if kind == m.IMAGE_DATA.kind:
                        index, _, slot, data = m.IMAGE_DATA.unpack(body)
                        come[index] = come.get(index, 0) + len(data)
                        self.slots_used.add(slot)
                whole = {i: n for i, n in come.items() if n == SIZE}
                self.most = max(self.most, len(whole))
                ready = whole if len(whole) == self._slots else {}
            for index in sorted(ready):
                if come.pop(index) == SIZE:
                    scores = np.full(3, index, "<i4").tobytes()
                    result = m.RESULT.pack(index=index, classes=3, data=scores)
                    os.write(self._end, pack(m.RESULT.kind, seq & 255, result))
                    seq += 1

    def close(self):
        self.done.set()
        self.join()
        os.close(self._far)
        os.close(self._end)


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_as_many_images_as_slots_are_on_their_way(slots):
    device = LazyDevice(slots)
    device.start()
    try:
        with Link.open(device.path) as link:
            taken = []

            def images():
                for index in range(20):
                    taken.append(index)
                    yield index, bytes(SIZE)

            results = Stream(Requests(link, 20), m.CHUNK, slots, 3).run(images())
            for result in results:
                assert result.scores.tolist() == [result.index] * 3
                assert len(taken) <= min(20, result.index + 2 * slots)  # no more than there is room
    finally:
        device.close()
    assert device.most == slots
    assert device.slots_used == set(range(slots))


CLASSES = 1000  # 19 parts, the last one shorter
SCORES = np.arange(1, CLASSES + 1, dtype="<i4")  # none is 0, as what did not come would be
COUNTS = {"written": 9, "toggled": 5, "wrong": 1, "ones_written": 4, "up_toggled": 2}


def part(first, end=None, scores=SCORES, **changes):
    """The body of a RESULT with the scores from `first` on."""
    data = scores[first : first + m.SCORES_PER_RESULT if end is None else end].tobytes()
    fields = {"index": 0, "first": first, "classes": CLASSES, **COUNTS, **changes}
    return m.RESULT.pack(**fields, data=data)


PARTS = [part(first) for first in range(0, CLASSES, m.SCORES_PER_RESULT)]


class PartsDevice(threading.Thread):
    """Answers the first image with the given RESULTs, whatever they say."""

    def __init__(self, bodies):
        super().__init__()
        self._end, self._far = pty.openpty()
        tty.setraw(self._far)
        self.path = os.ttyname(self._far)
        self._bodies = bodies
        self._done = threading.Event()

    def run(self):
        deframer = Deframer()
        come = 0
        while not self._done.is_set():
            if select.select([self._end], [], [], 0.02)[0]:
                for kind, _, body in frames(deframer, os.read(self._end, 4096)):
                    if kind == m.IMAGE_DATA.kind:
                        come += len(m.IMAGE_DATA.unpack(body).data)
            if come == SIZE:
                come = 0
                for seq, body in enumerate(self._bodies):
                    os.write(self._end, pack(m.RESULT.kind, seq & 255, body))

    def close(self):
        self._done.set()
        self.join()
        os.close(self._far)
        os.close(self._end)


def received(bodies, timeout_s=20):
    """The results that a stream makes of these RESULTs for one image."""
    device = PartsDevice(bodies)
    device.start()
    try:
        with Link.open(device.path) as link:
            stream = Stream(Requests(link, timeout_s), m.CHUNK, 2, CLASSES)
            return list(stream.run([(0, bytes(SIZE))]))
    finally:
        device.close()


def test_parts_come_once_or_twice_and_in_any_order():
    twice = [body for body in PARTS for _ in range(2)]
    shuffled = [twice[k] for k in np.random.default_rng(1).permutation(len(twice))]
    for bodies in (PARTS, PARTS[::-1], twice, PARTS[:-1] * 2 + PARTS[-1:], shuffled):
        [result] = received(bodies)
        assert result.scores.tolist() == SCORES.tolist()
        assert result.counts.tolist() == list(COUNTS.values())


def test_parts_that_come_twice_do_not_make_a_result_of_the_others():
    with pytest.raises(LinkError, match="does not answer"):
        received(PARTS[:-1] * 3, timeout_s=0.3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (part(27), "from 27 of 1000"),  # overlaps two parts
        (part(0, 10), "40 bytes of scores from 0"),
        (part(972, scores=np.ones(1100, "<i4")), "216 bytes of scores from 972"),
        (part(54, 54), "0 bytes of scores from 54"),
        (part(972, 999), "from 972 of 1000"),
        (part(1026), "from 1026 of 1000"),
        (part(0, classes=999), "from 0 of 999"),
        (part(0)[:-1], "215 bytes of scores from 0"),
        (part(0, written=10), "two different counts"),
        (part(0, up_toggled=3), "two different counts"),
        (part(0, scores=SCORES + 1), "two different scores"),
    ],
)
def test_a_part_that_cannot_be_is_refused(wrong, message):
    with pytest.raises(ProtocolError, match=message):
        received([*PARTS[:-1], wrong])
