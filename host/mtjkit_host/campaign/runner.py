"""Running a campaign: every missing point, on all cores, each result on the disk as it comes."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from mtjkit_core.errors import ConfigError, LinkError, MtjkitError
from mtjkit_export.files import write_json

from mtjkit_host.campaign import measure as worker
from mtjkit_host.campaign.description import Campaign, load_campaign
from mtjkit_host.campaign.nets import find_net, load_net, training_note
from mtjkit_host.campaign.points import Point, points_of
from mtjkit_host.campaign.records import Record, ResultsFile
from mtjkit_host.datasets import cifar10
from mtjkit_host.progress import bar

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class CampaignResult:
    """A campaign's results so far."""

    campaign: Campaign
    """What was asked for."""
    folder: Path
    """Holds ``results.jsonl`` and ``campaign.json``."""
    records: tuple[Record, ...]
    """The points that are there, in the campaign's order."""
    points: int
    """Points in all, of the nets that were found."""
    nets: dict[str, dict[str, Any]]
    """Label -> file, sha256, bits of a weight, weight bits, map bits, arithmetic."""
    missing: dict[str, str]
    """Label -> why the net could not be used."""
    environment: dict[str, Any]
    """Versions, machine, command: what the results were computed with."""

    @property
    def complete(self) -> bool:
        """Whether every point is there."""
        return len(self.records) == self.points


def run_campaign(
    campaign: Campaign | str | Path,
    *,
    data: str | Path,
    models: Sequence[str | Path] = (),
    out: str | Path | None = None,
    workers: int = 0,
    limit_s: float = 0.0,
    skip_missing: bool = False,
) -> CampaignResult:
    """Run a campaign, or what is left of it, and return all its results.

    The same call on the same folder resumes it: points that have a result are not computed
    again, and the result of a point does not depend on when, where or beside what it runs.
    Points run in processes of their own, which import the script that calls this: it needs
    ``if __name__ == "__main__":``.

    Args:
        campaign: a description, its TOML file, or the name of one that the project carries.
        data: folder with CIFAR-10's binary files, or one .bin file.
        models: folders of nets, searched before the trainer's and the carried ones.
        out: folder of the results; default ``build/campaigns/<name>``.
        workers: processes; 0 takes one for each core.
        limit_s: begin no point after so many seconds; 0 for no limit.
        skip_missing: leave out nets that are not there, rather than raise.

    Raises:
        ConfigError, FormatError: the description, a net or the data cannot be used.
        LinkError: a worker process ended.
    """
    if not isinstance(campaign, Campaign):
        campaign = load_campaign(campaign)
    folder = Path(out) if out is not None else Path("build/campaigns") / campaign.name
    paths, nets, missing = _find(campaign, [Path(m) for m in models], skip_missing)
    hashes = _data_hashes(campaign, Path(data))
    points = points_of(campaign, {k: str(v["sha256"]) for k, v in nets.items()}, hashes)
    environment = _environment(workers)
    with ResultsFile(folder / "results.jsonl") as file:
        state = {
            "campaign": asdict(replace(campaign, text="")),
            "data": str(data),
            "data_sha256": hashes,
            "nets": nets,
            "missing": missing,
            "environment": environment,
        }
        write_json(folder / "campaign.json", state)
        left = [point for point in points if point.id not in file.lines]
        if left:
            _run(left, paths, Path(data), file, workers or _cores(), limit_s, campaign.name)
        records = file.records(points)
    return CampaignResult(campaign, folder, tuple(records), len(points), nets, missing, environment)


def _find(
    campaign: Campaign, folders: list[Path], skip_missing: bool
) -> tuple[dict[str, Path], dict[str, dict[str, Any]], dict[str, str]]:
    """Find and load every net once, so that a bad one is known before the work begins."""
    paths: dict[str, Path] = {}
    nets: dict[str, dict[str, Any]] = {}
    missing: dict[str, str] = {}
    for entry in campaign.nets:
        try:
            path = find_net(entry.model, folders)
            net = load_net(path)
        except MtjkitError as error:
            if not skip_missing:
                raise
            missing[entry.label] = str(error)
            continue
        paths[entry.label] = path
        nets[entry.label] = {
            "file": str(path),
            "sha256": net.sha256,
            "bits": net.bits,
            "weight_bits": net.weight_bits,
            "map_bits": net.map_bits,
            "arithmetic": net.arithmetic,
            "training": training_note(path),
        }
    if not nets:
        raise ConfigError(f"campaign {campaign.name}: none of its nets is there; train one first")
    return paths, nets, missing


def _data_hashes(campaign: Campaign, path: Path) -> dict[int, str]:
    """Hash the images and labels that each kind of point uses."""
    images, labels = cifar10.load_test(path)
    counts = {campaign.images} | ({campaign.rrmse.images} if campaign.rrmse else set())
    if max(counts) > len(images):
        raise ConfigError(
            f"campaign {campaign.name}: {max(counts)} images asked for, {path} has {len(images)}"
        )
    return {
        n: hashlib.sha256(images[:n].tobytes() + labels[:n].tobytes()).hexdigest() for n in counts
    }


def _run(
    points: list[Point],
    paths: dict[str, Path],
    data: Path,
    file: ResultsFile,
    workers: int,
    limit_s: float,
    name: str,
) -> None:
    began = time.monotonic()
    waiting = iter(points)
    running: set[Future[Record]] = set()
    with _pool(min(workers, len(points))) as pool, bar("time", keep=True) as progress:
        task = progress.add_task(f"campaign {name}", total=len(points))
        while True:
            # Few points are handed out ahead, so that stopping early stops soon.
            while len(running) < 2 * workers and not _over(began, limit_s):
                point = next(waiting, None)
                if point is None:
                    break
                running.add(pool.submit(worker.measure, point, paths[point.net], data))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            if _over(began, limit_s):
                running = {future for future in running if not future.cancel()}
            for future in done:
                try:
                    file.append(future.result())
                except BrokenProcessPool:
                    raise LinkError(
                        "a worker process of the campaign ended (out of memory? A script needs "
                        "if __name__ == '__main__':); the same command goes on where it stopped"
                    ) from None
                progress.advance(task)


def _over(began: float, limit_s: float) -> bool:
    return limit_s > 0 and time.monotonic() - began >= limit_s


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of single-threaded processes that are gone when this ends, however it ends."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))  # what BLAS and torch read on loading
    pool = ProcessPoolExecutor(workers, get_context("spawn"), worker.start)
    try:
        yield pool
    except BaseException:
        processes = list((pool._processes or {}).values())  # no public way to end them
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _environment(workers: int) -> dict[str, Any]:
    versions = {}
    for package in ("mtjkit", "numpy", "torch", "matplotlib"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processes": workers or _cores(),
        "versions": versions,
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }
