"""Several images are on their way at the same time: the line is never idle."""

import os
import pty
import select
import threading
import tty

import numpy as np
import pytest
from mtjkit_core import messages as m
from mtjkit_core.frames import Deframer, frames, pack
from mtjkit_host.link.link import Link
from mtjkit_host.link.requests import Requests
from mtjkit_host.link.stream import Stream

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
