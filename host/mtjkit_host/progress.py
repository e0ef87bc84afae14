"""Progress bars of everything that takes long: on stderr, on a terminal only."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Count(ProgressColumn):
    """Steps done and in all; nothing where it is not known how many there are."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text("")
        done, total = int(task.completed), int(task.total)
        if task.fields.get("unit") == "B":
            return Text(f"{decimal(done)} of {decimal(total)}")
        return Text(f"{done:{len(str(total))}}/{total}")


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
        columns += [_Count(), _Speed(), TimeRemainingColumn()]
    elif kind == "time":
        columns += [_Count(), TimeElapsedColumn(), TimeRemainingColumn()]
    shown = sys.stderr is not None and sys.stderr.isatty()
    console = Console(stderr=True)
    return Progress(*columns, console=console, disable=not shown, transient=not keep)


class Steps:
    """One bar for a work of several steps: it shows the step that is under way.

    Args:
        name: of what is worked at, such as a board's.
        progress: an open `bar`.
    """

    def __init__(self, name: str, progress: Progress) -> None:
        self._name = name
        self._progress = progress
        self._step = ("", 0)
        self._task: TaskID | None = None

    def __call__(self, what: str, done: int = 0, size: int = 0, unit: str = "B") -> None:
        """Show how far a step is.

        Args:
            what: the step.
            done: how much has been done.
            size: how much there is in all; 0 if nobody knows, and the bar swings.
            unit: of both.
        """
        if (what, size) != self._step:
            if self._task is not None:
                self._progress.remove_task(self._task)
            text = f"{self._name}: {what}" if what else self._name
            self._task = self._progress.add_task(text, total=size or None, unit=unit)
            self._step = (what, size)
        if self._task is not None:
            self._progress.update(self._task, completed=done)
