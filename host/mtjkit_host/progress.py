"""Progress bars of everything that takes long: on stderr, on a terminal only."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Speed(ProgressColumn):
    """Steps per second, in the task's own unit."""

    def render(self, task: Task) -> Text:
        unit = task.fields["unit"]
        if not task.speed:
            return Text("")
        return Text(f"{decimal(int(task.speed)) if unit == 'B' else f'{task.speed:.1f} {unit}'}/s")


def bar(kind: str = "speed", keep: bool = False) -> Progress:
    """A progress bar; results go to stdout, and logs stay readable.

    Args:
        kind: what is shown besides the description and the bar. "speed": steps done, steps a
            second, time left; its tasks take a `unit`, as in
            progress.add_task("soak", total=500, unit="images"). "time": steps done, time gone and
            left. "plain": nothing.
        keep: whether the finished bar stays on the terminal.
    """
    columns: list[ProgressColumn] = [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
    ]
    if kind == "speed":
        columns += [MofNCompleteColumn(), _Speed(), TimeRemainingColumn()]
    elif kind == "time":
        columns += [MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()]
    shown = sys.stderr is not None and sys.stderr.isatty()
    console = Console(stderr=True)
    return Progress(*columns, console=console, disable=not shown, transient=not keep)
