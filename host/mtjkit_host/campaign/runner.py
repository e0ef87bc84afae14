"""Running a campaign: every missing point, on all cores, each result on the disk as it comes."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from mtjkit_core.errors import ConfigError, MtjkitError
from mtjkit_core.model import Model
from mtjkit_export.files import write_json
from mtjkit_export.nets.fixed import FixedNet

from mtjkit_host.campaign.chips import class_limits_of
from mtjkit_host.campaign.cluster import cluster_pool, parse_cluster
from mtjkit_host.campaign.data import Face, data_hashes, face_of, load_data
from mtjkit_host.campaign.description import Campaign, NetEntry, load_campaign, place_of, where
from mtjkit_host.campaign.execute import Pool, Work, processes, share_cores
from mtjkit_host.campaign.nets import (
    find_net,
    load_net,
    sha256_of,
    trained_on,
    training_note,
)
from mtjkit_host.campaign.plans import plan_of, with_plans
from mtjkit_host.campaign.points import Point, points_of
from mtjkit_host.campaign.records import RESULTS, Record, ResultsFile
from mtjkit_host.campaign.standing import Standing
from mtjkit_host.datasets.images import outcomes
from mtjkit_host.machine import cores, tell
from mtjkit_host.mtj.chip import resolution_doubts
from mtjkit_host.mtj.pulse_plan import PulsePlan
from mtjkit_host.progress import bar
from mtjkit_host.simulate.simulator import open_simulator


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
    plans: dict[str, PulsePlan] = field(default_factory=dict)
    """Label -> pulse plan, of the nets that have one."""

    @property
    def complete(self) -> bool:
        """Whether every point is there."""
        return len(self.records) == self.points


def run_campaign(
    campaign: Campaign | str | Path,
    *,
    data: str | Path,
    models: Sequence[str | Path] = (),
    folder: str | Path | None = None,
    workers: int = 0,
    limit_s: float = 0.0,
    skip_missing: bool = False,
    plans: Sequence[str | Path] = (),
    cluster: str = "",
    on_boards: bool = False,
    ports: Sequence[str] = (),
    watch: Callable[[Standing], None] | None = None,
    chips: str = "",
    cells_before: str = "",
) -> CampaignResult:
    """Run a campaign, or the rest of one, and return all its results.

    The same call on the same folder resumes it: points that have a result are not computed
    again, and the result of a point does not depend on when, where or beside what it runs.
    Points run in processes of their own, which import the script that calls this: it needs
    ``if __name__ == "__main__":``.

    Args:
        campaign: a description, its TOML file, or the name of one that the project carries.
        data: the test images: what `mtjkit_host.datasets.load.load_dataset` takes.
        models: folders of nets, searched before the trainer's and the carried ones.
        folder: folder of the results; default ``build/campaigns/<name>``.
        workers: processes; 0 takes one for each core, and there are never more than cores. With
            fewer of them than cores, each computes in several threads.
        limit_s: begin no point after this many seconds; 0 for no limit.
        skip_missing: leave out nets that are not there, rather than raise.
        plans: files of pulse plans; each adds a net that is written with the plan's pulses.
        cluster: where a dask.distributed scheduler is: tcp://HOST:PORT, a scheduler's NAME.json, or
            local:N for one of our own with N workers here. Empty for processes of this machine.
        on_boards: whether boards measure the points that their firmware can. Without `cluster` the
            other points are left to `workers` processes, default one.
        ports: ports of this machine's boards; ``unix`` is MicroPython's Unix port.
        watch: is called once, before the first missing point, with how the campaign stands.
        chips: a cell in the place of the description's `chips`.
        cells_before: in the place of the description's `cells_before`.

    Raises:
        ConfigError, FormatError: the description, a net or the data cannot be used; or the
            cluster's workers run another mtjkit, or have no boards.
        LinkError: a worker process ended, or the cluster is gone.
    """
    if not isinstance(campaign, Campaign):
        campaign = load_campaign(campaign)
    if ports and not on_boards:
        raise ConfigError("--port names a board that measures points: add --on boards")
    if on_boards and not cluster:
        cluster = f"local:{workers or 1}"
    others = parse_cluster(cluster, ports) if cluster else None
    folder = Path("build/campaigns") / campaign.name if folder is None else Path(folder)
    folders = [Path(model) for model in models]
    campaign = replace(
        campaign,
        chips=chips or campaign.chips,
        cells_before=cells_before or campaign.cells_before,
    )
    campaign = with_plans(campaign, plans, folders)
    classes = class_limits_of(campaign)
    paths, faces, nets, missing = _find(campaign, folders, skip_missing)
    of_nets = {
        entry.label: plan_of(campaign, entry, load_net(paths[entry.label]))
        for entry in campaign.nets
        if entry.plan and entry.label in paths
    }
    pulses = {label: plan for label, (plan, _) in of_nets.items()}
    for label, (plan, planned) in of_nets.items():
        nets[label]["plan"] = {
            "file": next(entry.plan for entry in campaign.nets if entry.label == label),
            "sha256": planned.sha256,
            "errors": plan.errors,
            "scheme": plan.scheme,
            "cells_before": plan.cells_before,
            "cell": plan.cell.to_json(),
            "mean_rate": planned.rate,
            "trained_sha256": plan.trained_sha256 or plan.sha256,
        }
    hashes, remarks = data_hashes(campaign, Path(data), faces)
    small = resolution_doubts("a write-error rate", (*campaign.rates, *campaign.rrmse_rates))
    seen = (trained_on(paths[label], load_data(Path(data), face)) for label, face in faces.items())
    for remark in (*remarks, *filter(None, seen), *small):
        tell(remark)
    hashed = {label: str(values["sha256"]) for label, values in nets.items()}
    its = {label: planned for label, (_, planned) in of_nets.items()}
    points = points_of(campaign, hashed, hashes, its, classes)
    environment = _environment(min(workers or cores(), cores()))
    if others is not None:
        environment |= {"cluster": cluster, "boards": on_boards}
    with ResultsFile(folder / RESULTS) as file:
        described = asdict(replace(campaign, text="", folder=None))
        del described["folder"]
        state = {
            "campaign": described,
            "data": str(data),
            "data_sha256": hashes,
            "nets": nets,
            "missing": missing,
            "environment": environment,
        }
        write_json(folder / "campaign.json", state)

        def so_far() -> CampaignResult:
            found = tuple(file.records(points))
            return CampaignResult(
                campaign, folder, found, len(points), nets, missing, environment, pulses
            )

        left = [point for point in points if point.id not in file.lines]
        if left:
            standing = Standing(so_far, len(points), len(points) - len(left))
            if watch is not None:
                watch(standing)
            pool: AbstractContextManager[Pool]
            if others is None:
                count, threads = share_cores(workers, len(left))
                if workers > cores():
                    tell(f"--workers {workers}: {count} work, as there are {cores()} cores")
                pool = processes(Work(paths, pulses, Path(data), threads), count)
            else:
                work = Work(paths, pulses, Path(data))
                pool = cluster_pool(others, work, on_boards, limit_s)
            _run(left, pool, file, limit_s, campaign.name, standing)
        return so_far()


def _find(
    campaign: Campaign, folders: list[Path], skip_missing: bool
) -> tuple[dict[str, Path], dict[str, Face], dict[str, dict[str, Any]], dict[str, str]]:
    """Find and load every net once, so that a bad one is known before the work begins."""
    paths: dict[str, Path] = {}
    faces: dict[str, Face] = {}
    nets: dict[str, dict[str, Any]] = {}
    missing: dict[str, str] = {}
    for entry in campaign.nets:
        try:
            path = find_net(entry.model, folders, campaign.folder)
            net = load_net(path)
            simulator = open_simulator(net, threads=1)
        except MtjkitError as error:
            if not skip_missing:
                raise
            missing[entry.label] = str(error)
            continue
        _check_layers(campaign, entry, net)
        paths[entry.label] = path
        faces[entry.label] = face_of(net)
        nets[entry.label] = {
            "file": str(path),
            "sha256": sha256_of(net),
            "bits": simulator.bits,
            "weight_bits": net.weight_bits,
            "map_bits": net.map_bits,
            "outcomes": outcomes(net),
            "layer_map_bits": (
                [layer.map_bits for layer in net.layers[:-1]] if isinstance(net, Model) else []
            ),
            "arithmetic": simulator.arithmetic,
            "training": training_note(path),
        }
    if not nets:
        raise ConfigError(f"campaign {campaign.name}: all of its nets are missing; train one first")
    return paths, faces, nets, missing


def _check_layers(campaign: Campaign, entry: NetEntry, net: Model | FixedNet) -> None:
    """Raise ConfigError where errors are asked for in a layer that a net does not have."""
    for memory, layer in map(place_of, campaign.memories):
        its = len(net.layers) - (memory == "feature_maps")
        if layer is not None and layer >= its and not entry.plan:
            raise ConfigError(
                f"{entry.label} has no {where(f'{memory}.{layer}')} in the memory; its layers "
                f"there are 0 to {its - 1}"
            )


def _run(
    points: list[Point],
    opened: AbstractContextManager[Pool],
    file: ResultsFile,
    limit_s: float,
    name: str,
    standing: Standing,
) -> None:
    """Have a pool measure points, and keep each record when it comes."""
    began = time.monotonic()
    waiting = iter(points)
    came: SimpleQueue[Future[Any]] = SimpleQueue()
    running: set[Future[Any]] = set()

    def begin(future: Future[Any]) -> None:
        running.add(future)
        future.add_done_callback(came.put)

    with opened as pool, bar("time", keep=True) as progress:
        task = progress.add_task(f"campaign {name}", total=len(points))
        while True:
            while len(running) < pool.ahead and not _over(began, limit_s):
                point = next(waiting, None)
                if point is None:
                    break
                begin(pool.submit(point))
            if not running:
                return
            future = came.get()
            if _over(began, limit_s):
                running -= {other for other in running if other.cancel()}
            if future not in running:
                continue  # cancelled
            running.remove(future)
            found = pool.record(future)
            if isinstance(found, Future):
                begin(found)
            else:
                worker, record = found
                file.append(record)
                standing.took(worker, record, len(running))
                progress.advance(task)


def _over(began: float, limit_s: float) -> bool:
    return limit_s > 0 and time.monotonic() - began >= limit_s


def _environment(processes: int) -> dict[str, Any]:
    versions = {}
    for package in ("mtjkit", "numpy", "torch", "matplotlib"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processes": processes,
        "versions": versions,
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }
