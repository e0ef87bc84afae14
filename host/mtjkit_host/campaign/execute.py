"""Who computes a campaign's points: a pool of processes, or this process where there is none.

`mtjkit_host.campaign.cluster` has the pool of more machines than this one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

from mtjkit_core.errors import LinkError

from mtjkit_host.campaign.measure import measure, start
from mtjkit_host.campaign.points import Point
from mtjkit_host.campaign.records import Record
from mtjkit_host.machine import cores, interrupts_kept, tell
from mtjkit_host.mtj.pulse_plan import PulsePlan

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Work:
    """What points are measured with, besides themselves."""

    nets: Mapping[str, Path]
    """Label -> file or run folder."""
    plans: Mapping[str, PulsePlan]
    """Label -> pulse plan, of the nets that have one."""
    data: Path
    """The test images."""
    threads: int = 1
    """The most that compute one point, in processes of this machine."""


def share_cores(workers: int, points: int) -> tuple[int, int]:
    """Processes and the threads of each: at most one thread for each core that there is.

    Args:
        workers: processes that were asked for; 0 for one a core.
        points: how many points are left, 1 or more.
    """
    processes = min(workers or cores(), points, cores())
    return processes, cores() // processes


class Pool(Protocol):
    """Something that measures points."""

    @property
    def ahead(self) -> int:
        """How many points it takes at a time: few, so that stopping early stops soon."""
        ...

    def submit(self, point: Point) -> Future[Any]:
        """Take a point; a future that is cancelled costs nothing but its point."""
        ...

    def record(self, future: Future[Any]) -> tuple[str, Record] | Future[Any]:
        """What a future that is done has found; another future if the point went on elsewhere.

        Returns:
            What the worker that measured it is called, and the record.

        Raises:
            MtjkitError: the campaign cannot go on.
        """
        ...


class Processes:
    """A pool of processes of this machine; see Pool."""

    def __init__(self, executor: Executor, ahead: int, work: Work) -> None:
        self.ahead = ahead
        self._executor = executor
        self._work = work
        self._numbers: dict[int, int] = {}
        """A process's id -> its number, in the order in which their first records came."""

    def submit(self, point: Point) -> Future[Any]:
        """See Pool."""
        w = self._work
        return self._executor.submit(
            _measure, point, w.nets[point.net], w.data, w.plans.get(point.net), w.threads
        )

    def record(self, future: Future[Any]) -> tuple[str, Record]:
        """See Pool."""
        found: Record
        try:
            process, found = future.result()
        except BrokenProcessPool:
            raise LinkError(
                "a worker process of the campaign ended (out of memory? A script needs "
                "if __name__ == '__main__':); the same command goes on where it stopped"
            ) from None
        number = self._numbers.setdefault(process, len(self._numbers) + 1)
        return f"process {number}", found


def _measure(point: Point, *others: Any) -> tuple[int, Record]:
    """The process that measures a point, and what it finds: see `measure`."""
    return os.getpid(), measure(point, *others)


class _Spawning(ProcessPoolExecutor):
    """Its processes never get Ctrl-C, not even while they begin: they leave with the campaign."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See `concurrent.futures.Executor.submit`, which starts processes."""
        with interrupts_kept():
            return super().submit(fn, *args, **kwargs)

    def end(self) -> None:
        """End its processes now, also those that are still loading what they need."""
        for process in list((self._processes or {}).values()):
            process.kill()


class InThisProcess(Executor):
    """Computes everything at once, where it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See `concurrent.futures.Executor.submit`; Ctrl-C is not kept for later."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def processes(work: Work, workers: int) -> Iterator[Processes]:
    """Processes of `work.threads` threads each, which are gone when this ends, however it ends.

    They hold one end of a pipe and leave when the other end is closed: by an error here, or by the
    end of this process. Where a system has no semaphores (a container without /dev/shm), this
    process computes alone.
    """
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))  # what BLAS and torch read on loading
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    ahead = 2 * workers
    try:
        try:
            pool: Executor = _Spawning(workers, context, start, (theirs,))
        except (OSError, ImportError, NotImplementedError) as error:
            tell(f"campaign: processes cannot work together here ({error}); one computes alone")
            pool, ahead = InThisProcess(), 1
        try:
            yield Processes(pool, ahead, work)
        except BaseException:
            ours.close()
            if isinstance(pool, _Spawning):
                pool.end()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    finally:
        ours.close()
        theirs.close()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
