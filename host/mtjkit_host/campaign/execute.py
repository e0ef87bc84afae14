"""Who computes a campaign's points: a pool of processes, or this process where there is none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from mtjkit_host.campaign.measure import start
from mtjkit_host.machine import tell

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


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
def executor(workers: int) -> Iterator[Executor]:
    """So many single-threaded processes, which are gone when this ends, however it ends.

    They hold one end of a pipe and leave when the other end is closed: by an error here, or by the
    end of this process. Where a system has no semaphores (a container without /dev/shm), this
    process computes alone.
    """
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))  # what BLAS and torch read on loading
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    try:
        try:
            pool: Executor = ProcessPoolExecutor(workers, context, start, (theirs,))
        except (OSError, ImportError, NotImplementedError) as error:
            tell(f"campaign: processes cannot work together here ({error}); one computes alone")
            pool = InThisProcess()
        try:
            yield pool
        except BaseException:
            ours.close()
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
