"""Many images, one device or several, and none of them reliable.

Every device is reached, programmed and given images from a common pool; of several, each has a
thread. When the line fails, the images on their way go back to the pool and the device is reached
again; one that stays away is left out. Results do not depend on who computed them.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from mtjkit_core.errors import ConfigError, FormatError, LinkError, MtjkitError, ProtocolError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import NO_ERRORS, WriteErrors
from numpy.typing import NDArray

from mtjkit_host.link.image_result import ImageResult
from mtjkit_host.link.link import Link
from mtjkit_host.link.session import Programmed, Progress, Session, WrittenModel, check_images
from mtjkit_host.link.stream import StuckError
from mtjkit_host.link.work_queue import Pool

Int8 = NDArray[np.int8]

_OPENING_S = 0.5
_PAUSE_S = (0.1, 2.0)  # between two attempts to reach a device: first, longest


class Port(Protocol):
    """Where a device is reached, as often as needed: UnixPort, SerialPort, FaultyPort."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def backend(self) -> str:
        """Name of the kind of device, for results: serial, unix, ..."""
        ...

    def connect(self) -> AbstractContextManager[Link]:
        """A context in which a link to the device is open.

        Raises:
            LinkError: it cannot be reached now.
        """
        ...


@dataclass(frozen=True)
class Patience:
    """When a device counts as gone."""

    silent_s: float = 120.0
    """A device that is silent for this long is reached anew."""
    hello_s: float = 10.0
    """The same before its first answer."""
    away_s: float = 30.0
    """A device is left out that gives no result for this long in spite of attempts to reach it."""


@dataclass(frozen=True)
class _Work:
    """What every device is programmed with: see Session.program."""

    model: bytes
    errors: WriteErrors
    kernel: str
    written_model: WrittenModel | None


class _Board:
    """One device: reached, programmed, kept busy, reached again."""

    def __init__(
        self, port: Port, work: _Work, pool: Pool, patience: Patience, progress: Progress | None
    ) -> None:
        self.port = port
        self.error: BaseException | None = None
        """Why it gave up."""
        self.programmed: Programmed | None = None
        self.connections = 0
        self._work = work
        self._pool = pool
        self._patience = patience
        self._progress = progress
        self._link: Link | None = None
        self._stopping = threading.Event()
        self._came = 0  # results of this connection
        self._mine: set[int] = set()

    def results(self) -> Iterator[ImageResult]:
        """Yield a result for each image that it takes from the pool.

        Raises:
            MtjkitError: it gave up.
        """
        pause_s = _PAUSE_S[0]
        failing_since = 0.0
        try:
            while self._pool.wait() and not self._stopping.is_set():
                self._came = 0
                try:
                    yield from self._compute()
                except (LinkError, ProtocolError) as error:
                    if isinstance(error, StuckError) and not self._came:
                        raise  # it would be so again
                    now = time.monotonic()
                    if self._came or not failing_since:
                        failing_since = now
                        pause_s = _PAUSE_S[0]
                    away = now - failing_since > self._patience.away_s
                    if away or self.programmed is None or self._stopping.is_set():
                        raise
                    self._pool.give_back(self._mine)
                    self._stopping.wait(pause_s)
                    pause_s = min(2 * pause_s, _PAUSE_S[1])
        finally:
            self._pool.give_back(self._mine)

    def _compute(self) -> Iterator[ImageResult]:
        """Reach the device and compute until the pool is empty."""
        with self.port.connect() as link:
            self._link = link
            self.connections += 1
            if self._stopping.is_set():
                return
            session = Session(link, self._patience.silent_s, self._patience.hello_s)
            self.programmed = session.program(
                self._work.model,
                self._work.errors,
                self._work.kernel,
                written_model=self._work.written_model,
                progress=self._progress,
            )
            while self._pool.wait():
                for result in session.classify_these(self._pool.items(self._mine)):
                    self._came += 1
                    self._mine.discard(result.index)
                    self._pool.deliver(result.index)
                    yield result

    def stop(self) -> None:
        """From another thread: give up, wherever it is now."""
        self._stopping.set()
        if self._link:
            self._link.interrupt()

    @property
    def is_reached(self) -> bool:
        """Its line was open at least once."""
        return self._link is not None


class _Worker(threading.Thread):
    """The thread of one board of several."""

    def __init__(self, board: _Board, results: queue.SimpleQueue[ImageResult | _Board]) -> None:
        super().__init__(name=board.port.name, daemon=True)
        self._board = board
        self._results = results

    def run(self) -> None:
        """Pass the board's results on, and at last the board."""
        try:
            for result in self._board.results():
                self._results.put(result)
        except BaseException as error:
            self._board.error = error
        finally:
            self._results.put(self._board)

    def leave(self) -> None:
        """Wait until it has given up; one that still opens its line may take long and is left."""
        self.join(_OPENING_S)
        if self._board.is_reached:
            self.join()


class Fleet:
    """Classifies images on one device or several.

    Args:
        ports: where the devices are reached.
        model: the bytes of an .mtjb file.
        errors, kernel, written_model: see Session.program.
        patience: when a device counts as gone.
        progress: called, in a device's thread, with (bytes sent, bytes in all) of the model.
    """

    def __init__(
        self,
        ports: Sequence[Port],
        model: bytes,
        errors: WriteErrors = NO_ERRORS,
        kernel: str = "auto",
        *,
        written_model: WrittenModel | None = None,
        patience: Patience | None = None,
        progress: Progress | None = None,
    ) -> None:
        if not ports:
            raise ConfigError("at least one device is needed")
        self._ports = ports
        self._model = Model(model)
        self._work = _Work(model, errors, kernel, written_model)
        self._patience = patience or Patience()
        self._progress = progress
        self._boards: list[_Board] = []

    @property
    def programmed(self) -> Programmed | None:
        """What programming the model did, on the first device that has it."""
        return next((b.programmed for b in self._boards if b.programmed), None)

    @property
    def left_out(self) -> dict[str, str]:
        """The devices that were left out, and why."""
        return {b.port.name: str(b.error) for b in self._boards if b.error}

    @property
    def connections(self) -> int:
        """How often a device was reached, in all."""
        return sum(b.connections for b in self._boards)

    def classify(
        self,
        images: Mapping[int, Int8],
        taken: Callable[[int], None] = lambda index: None,
    ) -> Iterator[ImageResult]:
        """Yield exactly one result for each image, as they come.

        Args:
            images: index, from 0 below 2**30 -> int8 (height, width, channels).
            taken: called, in a device's thread, with each index that it takes.

        Raises:
            LinkError, ProtocolError: no device is left, or one cannot even be reached first.
            ConfigError, FormatError: a device cannot run this.
        """
        for image in images.values():
            check_images(image[np.newaxis], self._model)
        return self._results(Pool(images, taken))

    def _results(self, pool: Pool) -> Iterator[ImageResult]:
        self._boards = [
            _Board(port, self._work, pool, self._patience, None if n else self._progress)
            for n, port in enumerate(self._ports)
        ]
        return self._of_several(pool) if len(self._boards) > 1 else self._of_one(pool)

    def _of_one(self, pool: Pool) -> Iterator[ImageResult]:
        """In the caller's thread: handing a result over costs as much as computing a small net."""
        (board,) = self._boards
        try:
            yield from board.results()
        except Exception as error:
            board.error = error
            if not pool.is_empty():
                raise

    def _of_several(self, pool: Pool) -> Iterator[ImageResult]:
        results: queue.SimpleQueue[ImageResult | _Board] = queue.SimpleQueue()
        workers = [_Worker(board, results) for board in self._boards]
        running = len(workers)
        try:
            for worker in workers:
                worker.start()
            while running:
                item = results.get()
                if isinstance(item, ImageResult):
                    yield item
                    continue
                running -= 1
                if not pool.is_empty():
                    self._ended(item, running)
        finally:
            pool.stop()
            for board in self._boards:
                board.stop()
            for worker in workers:
                worker.leave()

    def _ended(self, board: _Board, others: int) -> None:
        """Raise what ended a board, if the others cannot do without it."""
        error = board.error
        if error is None:
            return
        never = board.programmed is None
        fatal = isinstance(error, (ConfigError, FormatError)) or not isinstance(error, MtjkitError)
        if never or fatal or not others:
            raise error
