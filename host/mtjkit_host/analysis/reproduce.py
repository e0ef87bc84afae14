"""The paper's figures and tables from this project's own trained nets, in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mtjkit_core.errors import MtjkitError
from mtjkit_export.needs import needs
from mtjkit_export.nets.fixed import FixedNet

from mtjkit_host.analysis.page import write_report
from mtjkit_host.campaign.description import Campaign, load_campaign
from mtjkit_host.campaign.nets import find_net, load_net
from mtjkit_host.campaign.runner import CampaignResult, run_campaign
from mtjkit_host.campaign.standing import Standing
from mtjkit_host.datasets.dataset import Dataset
from mtjkit_host.datasets.load import load_dataset
from mtjkit_host.mtj.cell import Cell
from mtjkit_host.paths import CARRIED_IMAGES


@dataclass(frozen=True)
class Reproduction:
    """What `reproduce` returns."""

    result: CampaignResult
    """All points so far."""
    report: Path
    """The HTML page; figures, ``summary.json`` and ``results.jsonl`` lie beside it."""
    remarks: tuple[str, ...]
    """What differs from the paper's experiment, in sentences."""


def reproduce(
    quick: bool = False,
    *,
    data: str | Path | None = None,
    models: Sequence[str | Path] = (),
    folder: str | Path | None = None,
    workers: int = 0,
    limit_s: float = 0.0,
    cell: Cell | None = None,
    scheme: str = "fixed",
    plans: Sequence[str | Path] = (),
    cluster: str = "",
    watch: Callable[[Standing], None] | None = None,
) -> Reproduction:
    """Regenerate Table 1, Figs. 7-10 and Table 2, with the nets that are there.

    Runs the carried campaign ``reproduce`` (or ``quick``), or the rest of it, and writes its
    report. Nets that are missing are named in it, with the reason.

    Args:
        quick: a look in minutes: few images, rates and repeats.
        data: CIFAR-10's test images; default the first 500, which the project carries.
        models: folders of nets, searched before the trainer's and the carried ones.
        folder: of results and report; default ``build/reproduce`` or ``build/reproduce-quick``.
        workers: processes; 0 takes one for each core.
        limit_s: begin no point after this many seconds; 0 for no limit.
        cell: the MTJ cell that energies are of; default the paper's.
        scheme: the write scheme that Table 2's energies are of.
        plans: files of pulse plans, each measured as a net of its own.
        cluster: see `run_campaign`.
        watch: see `run_campaign`.

    Raises:
        ConfigError, FormatError: none of the nets is there, or data or nets cannot be used.
        LinkError: a worker process ended.
    """
    campaign = load_campaign("quick" if quick else "reproduce")
    folders = [Path(model) for model in models]
    path = Path(data) if data is not None else CARRIED_IMAGES
    remarks = []
    dataset = load_dataset(path)
    if len(dataset) < campaign.images:
        remarks.append(
            f"{len(dataset)} test images were used instead of {campaign.images:,}: name a folder "
            "with CIFAR-10's official test images to use them all."
        )
        campaign = _with_images(campaign, len(dataset))
    result = run_campaign(
        campaign,
        data=path,
        models=folders,
        folder=folder or Path("build") / ("reproduce-quick" if quick else "reproduce"),
        workers=workers,
        limit_s=limit_s,
        skip_missing=True,
        plans=plans,
        cluster=cluster,
        watch=watch,
    )
    count = min(campaign.images, 1000)
    tflite = {
        entry.label: _tflite(find_net(entry.model, folders), result.folder, dataset.take(count))
        for entry in campaign.nets
        if entry.paper == "Fxp8" and entry.label in result.nets
    }
    report = write_report(result, cell, remarks, {"as an int8 TFLite file": tflite}, scheme)
    return Reproduction(result, report, tuple(remarks))


def _with_images(campaign: Campaign, count: int) -> Campaign:
    rrmse = campaign.rrmse
    if rrmse is not None:
        rrmse = replace(rrmse, images=min(rrmse.images, count))
    return replace(campaign, images=count, rrmse=rrmse)


def _tflite(net: Path, folder: Path, data: Dataset) -> str:
    """Table 1's cell of an Fxp8 net as a TFLite file: accuracy and latency on this machine."""
    try:
        with needs("tflite"):
            from mtjkit_export.formats.tflite.convert import export_tflite
            from mtjkit_export.formats.tflite.run import measure_tflite
        fixed = load_net(net)
        if not isinstance(fixed, FixedNet):
            return "not measured: a binary net"
        file = folder / f"{fixed.name}.tflite"
        export_tflite(fixed, file)
        if data.labels is None:
            return "not measured: no labels"
        found = measure_tflite(file, data.images, data.labels)
    except MtjkitError as error:
        return f"not measured: {error}"
    return (
        f"{100 * found.accuracy:.2f} % of {found.images}; {found.median_ms:.2f} ms an image "
        f"({found.low_ms:.2f} to {found.high_ms:.2f}), {found.threads} thread, {found.interpreter}"
    )
