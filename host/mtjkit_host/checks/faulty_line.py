"""A line that loses things: a proxy between a host's serial port and MicroPython.

    host --- pseudo-terminal --- proxy --- pseudo-terminal --- MicroPython

Bytes that pass are flipped, dropped, doubled, swapped and held back, at a stated rate, from a
seeded generator. The device can be killed in two ways: a reset, after which it has forgotten
everything on a line that stays, and a pulled cable, which takes the line away too.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import random
import select
import threading
import time
from types import TracebackType

from mtjkit_core.errors import LinkError

from mtjkit_host.boards.unix_port import raw_pty, start_micropython, stop_process
from mtjkit_host.link.link import Link

_CHUNK = 4096
_SWAP_BYTES = 24  # longest piece that changes places with its neighbour
_STALL_S = 0.02
_NEVER = 1 << 62


class Faults:
    """Spoils bytes at random.

    Args:
        rate: probability that a byte is struck, 0 .. 1.
        seed: of the generator.

    Attributes:
        counts: how often each kind of fault was done.
    """

    KINDS = ("flipped", "dropped", "doubled", "swapped", "repeated", "stalled")
    _WEIGHTS = (40, 25, 15, 10, 5, 5)

    def __init__(self, rate: float, seed: int) -> None:
        self.counts = dict.fromkeys(self.KINDS, 0)
        self._rate = rate
        self._random = random.Random(seed)
        self._until_next = self._gap()

    def _gap(self) -> int:
        """Good bytes before the next struck one: geometric."""
        if self._rate <= 0:
            return _NEVER
        if self._rate >= 1:
            return 0
        return int(min(math.log1p(-self._random.random()) / math.log1p(-self._rate), _NEVER))

    def spoil(self, data: bytes) -> tuple[bytes, float]:
        """What comes out of the line for `data`, and how long it is held back, s."""
        out = bytearray()
        stall_s = 0.0
        at = 0
        while at + self._until_next < len(data):
            struck = at + self._until_next
            out += data[at:struck]
            [kind] = self._random.choices(self.KINDS, self._WEIGHTS)
            self.counts[kind] += 1
            at = struck + 1
            if kind == "flipped":
                out.append(data[struck] ^ 1 << self._random.randrange(8))
            elif kind == "doubled":
                out += data[struck:at] * 2
            elif kind == "swapped":
                middle = struck + self._random.randint(1, _SWAP_BYTES)
                at = middle + self._random.randint(1, _SWAP_BYTES)
                out += data[middle:at] + data[struck:middle]
                at = min(at, len(data))
            elif kind == "repeated":
                out += data[: struck + 1]
                out += data[: struck + 1]
            elif kind == "stalled":
                out += data[struck:at]
                stall_s += self._random.random() * _STALL_S
            self._until_next = self._gap()
        self._until_next -= len(data) - at
        return bytes(out + data[at:]), stall_s


class FaultyPort:
    """MicroPython's Unix port behind a bad line: a Port of a Fleet, and a context for one link.

    Args:
        rate: probability that a byte is struck, each way.
        seed: of the faults.
        name: what messages call it.

    Attributes:
        faults: those towards the device, and those towards the host.
        kills: how often the device was killed.
    """

    backend = "unix"

    def __init__(self, rate: float, seed: int = 0, name: str = "MicroPython") -> None:
        self.name = name
        self.faults = (Faults(rate, 2 * seed), Faults(rate, 2 * seed + 1))
        self.kills = 0
        self._orders: queue.SimpleQueue[bool] = queue.SimpleQueue()  # to kill, and how
        self._stop = threading.Event()
        self._proxy: threading.Thread | None = None
        self._link: Link | None = None

    def connect(self) -> FaultyPort:
        """This context."""
        return self

    def kill(self, keep_line: bool) -> None:
        """Kill the device: a reset if the line is kept, a pulled cable otherwise."""
        self._orders.put(keep_line)

    def __enter__(self) -> Link:
        self._stop.clear()
        master, slave = raw_pty()
        try:
            self._link = Link.open(os.ttyname(slave), self.backend, self.name)
        except LinkError:
            os.close(master)
            raise
        finally:
            os.close(slave)
        self._proxy = threading.Thread(target=self._run, args=(master,), daemon=True)
        self._proxy.start()
        return self._link

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._proxy:
            self._proxy.join()
        if self._link:
            self._link.close()

    def _run(self, host: int) -> None:
        """The proxy's thread: start the device, pass bytes on, start it anew after a reset."""
        try:
            while not self._stop.is_set():
                device, slave = raw_pty()
                process = start_micropython(slave)
                os.close(slave)
                try:
                    if not self._pass_on(host, device):
                        return
                finally:
                    os.close(device)
                    stop_process(process, wait_s=0)
        finally:
            os.close(host)

    def _pass_on(self, host: int, device: int) -> bool:
        """Pass bytes until the line ends (False) or the device is reset (True)."""
        other = {host: device, device: host}
        faults = {host: self.faults[0], device: self.faults[1]}
        waiting = {host: b"", device: b""}  # bytes read there and not yet passed on
        held_until = dict.fromkeys(other, 0.0)
        for end in other:
            os.set_blocking(end, False)
        while not self._stop.is_set():
            if not self._orders.empty():
                self.kills += 1
                return self._orders.get()
            now = time.monotonic()
            writable = [other[e] for e in other if waiting[e] and held_until[e] <= now]
            readable = [e for e in other if not waiting[e]]
            can_read, can_write, _ = select.select(readable, writable, [], 0.01)
            for end in can_read:
                try:
                    data = os.read(end, _CHUNK)
                except OSError:  # the other side has closed it
                    return False
                waiting[end], stall_s = faults[end].spoil(data)
                held_until[end] = now + stall_s
            for end in can_write:
                source = other[end]
                with contextlib.suppress(BlockingIOError):
                    waiting[source] = waiting[source][os.write(end, waiting[source]) :]
        return False
