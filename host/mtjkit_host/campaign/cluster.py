"""A campaign's points on many machines: dask.distributed, and boards that its workers have."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtjkit_core.errors import ConfigError, LinkError, MtjkitError
from mtjkit_core.model import Model
from mtjkit_export.needs import needs
from mtjkit_export.texts import brief

from mtjkit_host.campaign.build import Build, this_build
from mtjkit_host.campaign.data import face_of, load_data
from mtjkit_host.campaign.description import place_of
from mtjkit_host.campaign.execute import Work
from mtjkit_host.campaign.nets import load_net, sha256_of
from mtjkit_host.campaign.points import ACCURACY, Point
from mtjkit_host.campaign.records import Record
from mtjkit_host.campaign.remote import (
    BOARD,
    PORT,
    Content,
    Refusal,
    Task,
    check_build,
    measure_there,
)
from mtjkit_host.datasets.dataset import Dataset
from mtjkit_host.machine import interrupts_kept, tell
from mtjkit_host.parse import shown
from mtjkit_host.settings import parse_table, read_text

_CONNECT_S = 20.0
_COUNT_S = 2.0  # between two looks at how many workers there are
_MOST_WORKERS = 256
_LOCAL = re.compile(r"local:(\d{1,3})(?:@([^@:]+|\[[^\]]+\])(?::(\d{1,5}))?)?")
_ADDRESS = re.compile(r"[a-z]+://[^\s/]+:\d+")
_GO_ON = "the same command goes on where it stopped"


@dataclass(frozen=True)
class Cluster:
    """Where the workers of a campaign are. `parse_cluster` makes it."""

    address: str = ""
    """Of a scheduler: tcp://HOST:PORT, or another protocol of dask's; empty for one of our own."""
    workers: int = 0
    """Processes of this machine, where the scheduler is our own."""
    host: str = "127.0.0.1"
    """Where our own scheduler listens."""
    port: int = 0
    """The same; 0 for a free port."""
    ports: tuple[str, ...] = field(default=())
    """Ports of this machine's boards, each with a worker of its own: see on_board.port_of."""


def parse_cluster(text: str, ports: Sequence[str] = ()) -> Cluster:
    """Read `--cluster`.

    Args:
        text: local:N, local:N@HOST[:PORT], tcp://HOST:PORT, or NAME.json.
        ports: ports of boards of this machine.

    Raises:
        ConfigError: it is none of these, or the ports are another machine's.
    """
    local = _LOCAL.fullmatch(text)
    if local:
        workers, host, port = int(local[1]), local[2] or Cluster.host, int(local[3] or 0)
        if workers > _MOST_WORKERS or port > 65535 or not (workers or ports or local[2]):
            raise ConfigError(f"--cluster {text}: takes 1 to {_MOST_WORKERS} workers")
        return Cluster(workers=workers, host=host.strip("[]"), port=port, ports=tuple(ports))
    if ports:
        raise ConfigError(
            f"--port names boards of this machine. A worker elsewhere has its own: set {PORT} there"
        )
    if _ADDRESS.fullmatch(text):
        return Cluster(address=text)
    if text.endswith(".json"):
        return Cluster(address=_address_in(Path(text)))
    raise ConfigError(
        f"--cluster takes tcp://HOST:PORT, local:N (workers here) or a scheduler's NAME.json, not "
        f"{text!r}"
    )


def _address_in(file: Path) -> str:
    """The address in a file that a scheduler has written; dask itself would wait for the file."""
    what = f"--cluster {file}"
    address = parse_table(read_text(file, what), what, "JSON").get("address")
    if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
        raise ConfigError(f"{what}: not a scheduler's file: its address is {shown(str(address))}")
    return address


@contextmanager
def cluster_pool(
    where: Cluster, work: Work, on_boards: bool = False, limit_s: float = 0.0
) -> Iterator[ClusterPool]:
    """The workers of a cluster, once there is one and all of them run this mtjkit.

    Raises:
        ConfigError: dask is missing, a worker runs another mtjkit, or no worker has a board.
        LinkError: there is no scheduler, or no worker within `limit_s`.
    """
    with needs("cluster"):
        import dask.config
        from distributed import Client
    # Messages of ours say what a user can do; dask's tell how its connections end.
    logger = logging.getLogger("distributed")
    level = logger.level
    settings = {
        "distributed.admin.large-graph-warning-threshold": "1GB",
        "distributed.worker.daemon": True,
        "distributed.comm.timeouts.connect": f"{_CONNECT_S}s",
    }
    with ExitStack() as stack:
        stack.callback(logger.setLevel, level)
        logger.setLevel(logging.CRITICAL)
        stack.enter_context(dask.config.set(settings))
        address: Any = where.address or None
        if not where.address:
            address = stack.enter_context(_own(where))
        try:
            if where.address:
                _greet(where.address)
            client = Client(address, timeout=_CONNECT_S, set_as_default=False)
        except Exception as error:  # what is not a scheduler may say anything to dask's reader
            name = where.address or "our own scheduler"
            why = brief(error) or type(error).__name__
            if why.endswith("TimeoutError"):  # asyncio's has no text
                why = "timed out"
            if isinstance(error, MemoryError):
                why = "what it sends is not a message of dask's"
            raise LinkError(f"--cluster {name}: no scheduler answers there ({why})") from None
        try:
            _check(client, limit_s)
            yield ClusterPool(client, work, on_boards)
        finally:
            client.close(timeout=1)


def _greet(address: str) -> None:
    """Connect and take leave, in time; raise whatever goes wrong.

    dask's client waits for ever for a server that is silent.
    """
    from distributed.comm.core import connect
    from distributed.security import Security
    from distributed.utils import LoopRunner, sync

    async def greet() -> None:
        options = Security().get_connection_args("client")
        comm = await connect(address, timeout=_CONNECT_S, **options)
        await comm.close()

    runner = LoopRunner()
    runner.start()
    try:
        sync(runner.loop, greet, callback_timeout=_CONNECT_S)
    finally:
        runner.stop(timeout=1)


@contextmanager
def _own(where: Cluster) -> Iterator[Any]:
    """A scheduler and workers of this machine; those of boards have the resource."""
    from distributed import Nanny, Scheduler, SpecCluster
    from distributed.utils import LoopRunner

    options: dict[str, Any] = {
        **{"nthreads": 1, "memory_limit": 0, "host": "127.0.0.1", "dashboard": False},
        "silence_logs": logging.CRITICAL,
    }
    workers: dict[Any, Any] = {
        number: {"cls": Nanny, "options": options} for number in range(where.workers)
    }
    for port in where.ports:
        of_board = {"resources": {BOARD: 1}, "env": {PORT: port}}
        workers[f"board-{len(workers)}"] = {"cls": Nanny, "options": options | of_board}
    if where.host != Cluster.host:
        del options["host"]  # others must reach our workers too
    listening = {
        **{"host": where.host, "port": where.port, "dashboard": False},
        "dashboard_address": "127.0.0.1:0",  # it has a page of numbers even so
    }
    runner = LoopRunner()
    with interrupts_kept():  # the runner's thread starts the workers
        runner.start()
    master = {"cls": Scheduler, "options": listening}
    try:
        cluster = SpecCluster(workers, master, loop=runner.loop, silence_logs=logging.CRITICAL)
    except (OSError, RuntimeError) as error:
        runner.stop(timeout=1)
        raise LinkError(f"the cluster does not start at {where.host}: {error}") from None
    try:
        if where.host != Cluster.host:
            tell(f"workers may join: dask worker {cluster.scheduler_address} --nthreads 1")
        yield cluster
    finally:
        cluster.close(timeout=5)
        runner.stop(timeout=1)


def _check(client: Any, limit_s: float) -> None:
    """Wait for a worker; raise unless the scheduler and all workers run this mtjkit."""
    if not client.scheduler_info()["workers"]:
        tell("no worker has joined the cluster yet; waiting for one (Ctrl-C ends)")
        try:
            client.wait_for_workers(1, timeout=limit_s or None)
        except TimeoutError:
            raise LinkError(f"no worker joined the cluster in {limit_s:g} s") from None
    try:
        there = client.run_on_scheduler(this_build)
    except Exception as error:
        raise _not_ours("the cluster's scheduler", error) from None
    check_build(this_build(), there, "the cluster's scheduler")
    workers = client.scheduler_info()["workers"]
    for address, found in client.run(this_build, on_error="return").items():
        name = f"worker {address}"
        if not isinstance(found, Build):
            raise _not_ours(name, found)
        check_build(this_build(), found, name)
    for address, worker in workers.items():
        if worker["nthreads"] > 1:
            raise ConfigError(
                f"worker {address} has {worker['nthreads']} threads; a point takes a process: "
                "start workers with --nthreads 1 and one for each core (--nworkers)"
            )


def _not_ours(name: str, error: BaseException) -> ConfigError:
    first = (str(error).splitlines() or [""])[0]
    return ConfigError(
        f"{name} cannot run mtjkit ({type(error).__name__}: {first}): pip install "
        f"'mtjkit[cluster]' {this_build().version} there"
    )


class ClusterPool:
    """The workers of a cluster; see mtjkit_host.campaign.execute.Pool.

    Args:
        client: dask's, connected.
        work: what points are measured with.
        on_boards: whether boards measure what they can; the others measure the rest.

    Raises:
        ConfigError: no worker has a board.
    """

    def __init__(self, client: Any, work: Work, on_boards: bool) -> None:
        self._client = client
        self._executor = client.get_executor(pure=False)
        self._work = work
        self._build = this_build()
        self._contents: dict[str, Any] = {}
        self._nets: dict[str, str] = {}
        self._points: dict[Future[Any], Point] = {}
        self._boards = self._find_boards() if on_boards else set()
        self._cannot: dict[str, set[str]] = {}
        self._counted = 0.0
        self._ahead = 0
        if on_boards and not self._boards:
            raise ConfigError(
                "--on boards: no worker has a board. Give --port, or start a worker with "
                f"{PORT}=/dev/ttyACM0 dask worker ... --nthreads 1 --resources {BOARD}=1"
            )

    @property
    def ahead(self) -> int:
        """See Pool: two for each worker that there is now."""
        if time.monotonic() - self._counted > _COUNT_S:
            threads = sum(self._client.nthreads().values())
            self._counted, self._ahead = time.monotonic(), 2 * max(1, threads)
        return self._ahead

    def submit(self, point: Point) -> Future[Any]:
        """See Pool."""
        boards = self._boards_for(point)
        where = {"workers": sorted(boards), "resources": {BOARD: 1}} if boards else {}
        task = Task(self._build, point, self._work.plans.get(point.net), bool(boards))
        future: Future[Any] = self._executor.submit(
            _measure, task, self._net(point), self._images(point), **where
        )
        self._points[future] = point
        return future

    def record(self, future: Future[Any]) -> tuple[str, Record] | Future[Any]:
        """See Pool."""
        point = self._points.pop(future)
        try:
            found = future.result()
        except MtjkitError:
            raise
        except CancelledError:
            raise LinkError(f"the cluster's scheduler is gone; {_GO_ON}") from None
        except Exception as error:
            first = (str(error).splitlines() or [""])[0]
            raise LinkError(
                f"the cluster cannot measure a point ({type(error).__name__}: {first}); {_GO_ON}"
            ) from None
        if isinstance(found, Refusal):
            self._refused(found, point)
            return self.submit(point)
        record: Record = found
        return record.where, record

    def _net(self, point: Point) -> Any:
        """The point's net, on its way to the workers that need it."""
        sha256 = point.net_sha256
        if sha256 not in self._contents:
            net = load_net(self._work.nets[point.net])
            if sha256_of(net) != sha256:
                raise ConfigError(f"{self._work.nets[point.net]} has changed meanwhile")
            self._send(sha256, bytes(net.data) if isinstance(net, Model) else net)
        return self._contents[sha256]

    def _images(self, point: Point) -> Any:
        """The point's images, the same way."""
        if point.data_sha256 not in self._contents:
            face = face_of(load_net(self._work.nets[point.net]))
            data = load_data(self._work.data, face).take(point.images, point.campaign_seed)
            self._send(point.data_sha256, Dataset(data.images, data.labels))
        return self._contents[point.data_sha256]

    def _send(self, sha256: str, value: Any) -> None:
        # A task, not scattered data: the scheduler makes it again if the workers that had it die.
        self._contents[sha256] = self._client.submit(Content, sha256, value, key=f"mtjkit-{sha256}")

    def _find_boards(self) -> set[str]:
        workers = self._client.scheduler_info()["workers"]
        return {address for address, one in workers.items() if BOARD in one["resources"]}

    def _boards_for(self, point: Point) -> set[str]:
        """Addresses of the workers whose boards may measure a point."""
        if point.kind != ACCURACY:
            return set()
        return self._boards - self._cannot.get(_run_of(point), set())

    def _refused(self, refusal: Refusal, point: Point) -> None:
        cannot = self._cannot.setdefault(_run_of(point), set())
        if refusal.gone:
            news = refusal.worker in self._boards
            self._boards.discard(refusal.worker)
        else:
            news = refusal.worker not in cannot
        cannot.add(refusal.worker)
        if news:
            what = "left out" if refusal.gone else f"does not measure {_run_of(point)}"
            tell(f"{refusal.board}: {what}: {refusal.reason}")


def _run_of(point: Point) -> str:
    """What a board takes or refuses as a whole: a net, and whether its weights fail."""
    in_weights = place_of(point.memory)[0] == "weights"
    return point.net + (" with errors in its weights" if in_weights else "")


def _measure(task: Task, net: Content, images: Content) -> Record | Refusal:
    """`measure_there`, on the worker that runs this."""
    from distributed import get_worker

    return measure_there(task, net, images, get_worker().address)
