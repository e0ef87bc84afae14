"""Images on their way: as many as the device has slots, each repeated where the line lost it."""

from __future__ import annotations

import binascii
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator

import numpy as np
from mtjkit_core import messages as m
from mtjkit_core.blocks import IMAGE_BLOCK
from mtjkit_core.errors import LinkError, ProtocolError
from mtjkit_core.write_errors import COUNTS

from mtjkit_host.link.image_result import ImageResult
from mtjkit_host.link.link import Frame
from mtjkit_host.link.requests import (
    FIRST_PROBE_S,
    LONGEST_PROBE_S,
    Requests,
    SilenceError,
    device_error,
)

_SHORTEST_PROBE_S = 0.05
_SPARE_FRAMES = 64  # beside those that an image may need


_NAMES = {message.kind: name for name, message in vars(m).items() if isinstance(message, m.Message)}


class StuckError(LinkError):
    """The device shows signs of life, but gives no results."""


class _Pending:
    """An image on its way."""

    def __init__(self, data: bytes, slot: int, order: int, classes: int) -> None:
        self.data = data
        self.slot = slot
        self.order = order  # of sending
        self.scores = np.zeros(classes, "<i4")
        self.counts: list[int] = []
        self.parts: dict[int, bytes] = {}  # scores that came, by the class of the first one


class Stream:
    """Sends images to a programmed device and yields their results.

    Args:
        requests: the device.
        chunk: data bytes of a frame.
        slots: images that may be on their way at the same time.
        classes: scores of an image.
        blocks: whether an image is sent as one block first.
    """

    def __init__(
        self, requests: Requests, chunk: int, slots: int, classes: int, blocks: bool = False
    ) -> None:
        self._requests = requests
        self._link = requests.link
        self._chunk = chunk
        self._classes = classes
        self._blocks = blocks
        self._free = deque(range(slots))
        self._pending: dict[int, _Pending] = {}
        self._order = 0
        self._probe_s = FIRST_PROBE_S
        self._result_at = time.monotonic()
        self._seen: Counter[int] = Counter()  # frames since the last result, by type
        self._acks = self._link.acks  # at that time
        self._again = 0  # frames sent again since then, as LOST asked
        self._chunks = 1  # of an image

    def run(self, images: Iterable[tuple[int, bytes]]) -> Iterator[ImageResult]:
        """Yield a result for each image, as they come.

        Args:
            images: (index, int8 pixels) of each; taken only when there is a free slot for one.

        Raises:
            DeviceResetError: the device was reset meanwhile.
            StuckError: for too long nothing came but signs of life.
            LinkError, ProtocolError: the link.
        """
        source = iter(images)
        more = True
        wait_s = FIRST_PROBE_S
        asked = self._result_at = time.monotonic()
        while True:
            while more and self._free:
                item = next(source, None)
                more = item is not None
                if item:
                    self._start(*item)
            if not self._pending:
                return
            until = max(asked, self._link.heard_at) + wait_s
            frame = self._link.receive(max(0.0, until - time.monotonic()))
            now = time.monotonic()
            if frame is None and now - self._link.heard_at > self._requests.timeout_s:
                raise SilenceError(f"{self._link.name}: the device does not answer any more")
            self._check_progress(frame, now)
            if frame is None:
                if now - self._link.heard_at >= wait_s:  # else there was a heartbeat
                    oldest = min(self._pending, key=lambda i: self._pending[i].order)
                    self._link.ask(m.QUERY.kind, self._query(oldest))
                    wait_s = min(2 * wait_s, LONGEST_PROBE_S)
                    asked = now
                continue
            asked = now
            wait_s = self._probe_s
            if frame.kind == m.RESULT.kind:
                result = self._take(frame)
                if result:
                    # Wait about four image times before asking, so that a slow image is not
                    # mistaken for a lost one.
                    self._probe_s = min(
                        max(4 * (now - self._result_at), 0.9 * self._probe_s, _SHORTEST_PROBE_S),
                        LONGEST_PROBE_S,
                    )
                    yield result
                    self._seen.clear()
                    self._acks = self._link.acks
                    self._again = 0
                    self._result_at = time.monotonic()
            else:
                self._answer(frame)

    def _check_progress(self, frame: Frame | None, now: float) -> None:
        """Raise if the device should have given a result by now, whatever else it sends.

        Between two results a device that computes sends at most one heartbeat a layer, and one
        answer to each frame it got.
        """
        if frame:
            self._seen[frame.kind] += 1
        parts = self._classes // m.SCORES_PER_RESULT + 1
        needed = (self._chunks + parts) * (len(self._pending) + len(self._free))
        acks = self._link.acks - self._acks
        again = self._again > _SPARE_FRAMES + 16 * needed
        floods = again or self._seen.total() + acks > _SPARE_FRAMES + 4 * needed
        late = now - self._result_at > self._link.stuck_s
        if floods or late:
            self._seen[m.ACK.kind] += acks
            seen = ", ".join(f"{n} {_NAMES.get(k, hex(k))}" for k, n in self._seen.most_common(4))
            raise StuckError(
                f"{self._link.name}: no result in {now - self._result_at:.0f} s, only {seen}"
            )

    def _start(self, index: int, data: bytes) -> None:
        slot = self._free.popleft()
        self._pending[index] = _Pending(data, slot, self._order, self._classes)
        self._order += 1
        self._chunks = -(-len(data) // self._chunk)
        if self._blocks:
            body = IMAGE_BLOCK.pack(index, slot, binascii.crc32(data))
            self._link.send_block(IMAGE_BLOCK.kind, body, data)
        else:
            self._send(index, 0, len(data))

    def _send(self, index: int, start: int, end: int) -> None:
        """Send an image's bytes from `start`, where a chunk begins, to `end`."""
        image = self._pending[index]
        self._link.send(
            m.IMAGE_DATA.kind,
            *(
                m.IMAGE_DATA.pack(index, at, image.slot, data=image.data[at : at + self._chunk])
                for at in range(start, end, self._chunk)
            ),
        )

    def _query(self, index: int) -> bytes:
        return m.QUERY.pack(index, self._pending[index].slot)

    def _answer(self, frame: Frame) -> None:
        """Send again what the device lacks."""
        if frame.kind == m.ERROR.kind:
            raise device_error(frame.body)[0]
        if frame.kind == m.LOST.kind:
            for kind, body in self._link.sent(*m.LOST.unpack(frame.body)):
                fields = body[: m.IMAGE_DATA.size]
                if kind == m.IMAGE_DATA.kind and m.IMAGE_DATA.unpack(fields).index in self._pending:
                    self._link.send(kind, body)
                    self._again += 1
        elif frame.kind == m.MISSING.kind:
            f = m.MISSING.unpack(frame.body)
            if f.index in self._pending:
                end = f.offset + f.size
                if f.offset % self._chunk or end > len(self._pending[f.index].data):
                    raise ProtocolError(f"MISSING {f.size} bytes at {f.offset} of an image")
                self._send(f.index, f.offset, end)
        if frame.lost_before:
            self._ask_older(self._order)

    def _ask_older(self, order: int) -> None:
        """Ask for all images sent before another: a frame with a result may have been lost."""
        for index, image in self._pending.items():
            if image.order < order:
                self._link.send(m.QUERY.kind, self._query(index))

    def _take(self, frame: Frame) -> ImageResult | None:
        """Take a RESULT; returns the image's result once all its parts are there.

        A part counts once, however often it comes. A part is refused that begins or ends
        elsewhere, or that contradicts what came before.
        """
        f = m.RESULT.unpack(frame.body)
        image = self._pending.get(f.index)
        if image is None:
            return None  # asked for twice
        end = min(f.first + m.SCORES_PER_RESULT, self._classes)
        whole = len(f.data) == 4 * (end - f.first) > 0 and f.first % m.SCORES_PER_RESULT == 0
        if f.classes != self._classes or not whole:
            raise ProtocolError(
                f"RESULT with {len(f.data)} bytes of scores from {f.first} of {f.classes}"
            )
        if frame.lost_before:
            self._ask_older(image.order)
        counts = [getattr(f, name) for name in COUNTS]
        if counts != image.counts and image.parts:
            raise ProtocolError(f"RESULT of image {f.index} with two different counts")
        if image.parts.get(f.first, f.data) != f.data:
            raise ProtocolError(f"RESULT of image {f.index} with two different scores")
        image.counts = counts
        image.parts[f.first] = f.data
        image.scores[f.first : end] = np.frombuffer(f.data, "<i4")
        if len(image.parts) * m.SCORES_PER_RESULT < self._classes:
            return None
        del self._pending[f.index]
        self._free.append(image.slot)
        scores = image.scores.astype(np.int32)
        return ImageResult(f.index, scores, np.array(counts, np.int64), f.us)
