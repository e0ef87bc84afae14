"""Commands for campaigns: nets x memories x error rates x repeats, and the paper's."""

from __future__ import annotations

from typing import Any

from invoke.context import Context

from mtjkit_host.cli import streams
from mtjkit_host.cli.command import RUN_HELP, command

CAMPAIGN_HELP = {
    "models": "folder where nets are looked for; may be given several times",
    "workers": "processes; default one for each core",
    "cell": "MTJ cell that the report's energies are of: a preset or a file; default the paper's",
    "scheme": "write scheme that the report's energies are of; default fixed",
    "plan": "a pulse plan, measured as a net of its own; may be given several times",
    "cluster": "workers of a dask cluster: tcp://HOST:8786, a scheduler's NAME.json, or local:N; "
    "docs/cluster.md",
    "watch": "serve the report on 127.0.0.1 while the campaign runs, for a browser",
    "limit-s": "begin no point after this many seconds; the same command goes on; default no limit",
}


def _limits(workers: str | None, limit_s: str | None, cluster: str | None) -> dict[str, Any]:
    """Who computes and for how long: options of `campaign` and `reproduce`."""
    from mtjkit_host.parse import whole

    return {
        "workers": 0 if workers is None else whole("--workers", workers, 1, 256),
        "limit_s": 0 if limit_s is None else whole("--limit-s", limit_s, 1, 10**8),
        "cluster": cluster or "",
    }


def _cell(cell: str | None) -> Any:
    """The cell of a report's energies; None for the paper's."""
    from mtjkit_core.errors import ConfigError

    from mtjkit_host.mtj.cell_file import load_cell

    if cell is None:
        return None
    found = load_cell(cell)
    if not found.has_power:
        raise ConfigError(f"--cell {cell} states no current and voltage, so a report has no energy")
    return found


def _scheme(scheme: str | None) -> str:
    """The name of a scheme that there is."""
    from mtjkit_host.mtj.schemes import parse_scheme

    return parse_scheme("fixed" if scheme is None else scheme).name


def _live(watch: bool, cell: Any, scheme: str) -> Any:
    """A context with the page of --watch; None in it without."""
    from contextlib import nullcontext

    if not watch:
        return nullcontext()
    from mtjkit_host.analysis.live import LiveReport

    return LiveReport(cell, scheme)


def _tables(result: Any, cell: Any, scheme: str) -> tuple[Any, ...]:
    """A campaign's tables, which fit 80 columns."""
    from mtjkit_host.analysis.tables import tables

    return tuple(tables(result, cell, scheme))


@command(
    help={
        "campaign": "TOML file, or the name of a carried one: paper, reproduce, quick",
        "data": "data set, as for a run; default: the 500 carried test images of CIFAR-10",
        "output": "folder of results and report; default build/campaigns/NAME",
        "skip-missing": "leave out nets that are not there, and say so in the report",
        "chips": "cell whose [variation] tells cells apart, a preset or a file: each repeat is a "
        "chip of its own",
        "cells-before": RUN_HELP["cells-before"],
        "on": "boards: boards measure the points that their firmware can; default host",
        "port": "serial port of a board, for --on boards; unix is MicroPython's Unix port; may be "
        "given several times",
        **CAMPAIGN_HELP,
    },
    positional=["campaign"],
    iterable=["models", "plan", "port"],
)
def campaign(
    c: Context,
    campaign: str,
    models: list[str],
    plan: list[str],
    port: list[str],
    data: str | None = None,
    output: str | None = None,
    workers: str | None = None,
    limit_s: str | None = None,
    skip_missing: bool = False,
    cell: str | None = None,
    scheme: str | None = None,
    cluster: str | None = None,
    on: str | None = None,
    watch: bool = False,
    chips: str | None = None,
    cells_before: str | None = None,
) -> Any:
    """Measure nets x memories x error rates x repeats; the same command resumes after a stop."""
    from mtjkit_core.errors import MtjkitError

    from mtjkit_host.analysis import write_report
    from mtjkit_host.analysis.page import missing_package
    from mtjkit_host.campaign import run_campaign
    from mtjkit_host.machine import tell
    from mtjkit_host.parse import choice
    from mtjkit_host.paths import CARRIED_IMAGES
    from mtjkit_host.runs.options import CELLS_BEFORE

    limits = _limits(workers, limit_s, cluster)
    before = ""
    if cells_before is not None:
        before = choice("--cells-before", cells_before, tuple(CELLS_BEFORE))
    on_boards = on is not None and choice("--on", on, ("host", "boards")) == "boards"
    of, way = _cell(cell), _scheme(scheme)
    lacking = missing_package()
    if lacking:
        tell(f"campaign: {lacking}; the points are measured without it")
    with _live(watch, of, way) as live:
        result = run_campaign(
            campaign,
            data=data or CARRIED_IMAGES,
            models=models,
            folder=output,
            skip_missing=skip_missing,
            plans=plan,
            on_boards=on_boards,
            ports=port,
            watch=None if live is None else live.watch,
            chips=chips or "",
            cells_before=before,
            **limits,
        )
        try:
            report = write_report(result, of, scheme=way)
        except MtjkitError:
            streams.show(*_tables(result, of, way))
            raise
        if live is not None:
            live.end(report)
    return (*_tables(result, of, way), f"report: {report}")


@command(
    help={
        "quick": "a look in minutes: few images, rates and repeats",
        "data": "CIFAR-10's binary files; default: the 500 carried test images",
        "output": "folder of results and report; default build/reproduce",
        **CAMPAIGN_HELP,
    },
    iterable=["models", "plan"],
)
def reproduce(
    c: Context,
    models: list[str],
    plan: list[str],
    quick: bool = False,
    data: str | None = None,
    output: str | None = None,
    workers: str | None = None,
    limit_s: str | None = None,
    cell: str | None = None,
    scheme: str | None = None,
    cluster: str | None = None,
    watch: bool = False,
) -> Any:
    """Regenerate the paper's Table 1, Figs. 7-10 and Table 2 beside the paper's values."""
    from mtjkit_host.analysis import reproduce as run_reproduce

    limits = _limits(workers, limit_s, cluster)
    of, way = _cell(cell), _scheme(scheme)
    with _live(watch, of, way) as live:
        done = run_reproduce(
            quick,
            data=data,
            models=models,
            folder=output,
            cell=of,
            scheme=way,
            plans=plan,
            watch=None if live is None else live.watch,
            **limits,
        )
        if live is not None:
            live.end(done.report)
    return (*_tables(done.result, of, way), f"report: {done.report}")


@command(
    positional=["source"],
    help={
        "source": "a campaign's folder or results.jsonl, a run file (build/runs/...), a run's JSON",
        "output": "file to write: NAME.csv or NAME.parquet; default SOURCE.csv",
    },
)
def table(c: Context, source: str, output: str | None = None) -> Any:
    """Write results as a table for other programs: CSV or Parquet."""
    from pathlib import Path

    from mtjkit_core.errors import ConfigError

    from mtjkit_host.analysis.export_table import write_table

    path = Path(source)
    if output is None and path.name in ("", ".."):
        raise ConfigError(f"--output names the file to write: {source!r} has no name of its own")
    target = path.with_suffix(".csv") if output is None else Path(output)
    return f"{write_table(source, target)} rows: {target}"


@command(
    help={
        "points": "points of the longer of two campaigns, at least 100; default 2000",
        "images": "inferences of a point, 1 to 500; default 1, which leaves the overhead",
        "model": "net; default binary-small",
        "most": "most workers: 1, 2, 4, ... up to this; default 2",
    }
)
def measure_cluster(
    c: Context,
    points: str | None = None,
    images: str | None = None,
    model: str = "binary-small",
    most: str | None = None,
) -> Any:
    """Measure what local processes and dask's workers add to a campaign's points."""
    from rich.table import Table

    from mtjkit_host.campaign.scaling import measure_scaling
    from mtjkit_host.parse import whole

    more = 2000 if points is None else whole("--points", points, 100, 100_000)
    inferences = 1 if images is None else whole("--images", images, 1, 500)
    last = 2 if most is None else whole("--most", most, 1, 256)
    table = Table(
        "pool", "workers", "wall ms a point", "hand out, CPU ms", "work, CPU ms", "most/s"
    )
    workers = 1
    while workers <= last:
        for pool in ("processes", "dask"):
            one = measure_scaling(pool, workers, more, inferences, model)
            times = (one.wall_ms, one.hand_out_ms, one.worker_ms)
            row = [f"{ms:.2f}" for ms in times] + [f"{one.most_points_per_s:.0f}"]
            table.add_row(pool, str(workers), *row)
        workers *= 2
    return table


COMMANDS = (campaign, reproduce, table, measure_cluster)
