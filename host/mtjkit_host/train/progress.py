"""The progress bar of one epoch, on stderr; silent when stderr is not a terminal."""

from __future__ import annotations

from types import TracebackType

from mtjkit_host.progress import bar


class EpochBar:
    """Context manager around an epoch of ``steps`` steps; call `advance` after each."""

    def __init__(self, epoch: int, epochs: int, steps: int) -> None:
        self._progress = bar("time", keep=True)
        self._task = self._progress.add_task(f"epoch {epoch}/{epochs}", total=steps)

    def advance(self) -> None:
        """Count one step."""
        self._progress.advance(self._task)

    def __enter__(self) -> EpochBar:
        """Show the bar."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the finished bar on the terminal."""
        self._progress.stop()
