"""Runs on one device or several that survive a pulled cable, a reset, a killed process.

Every result goes to a run file as it arrives; the same run on that file goes on from there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError, MtjkitError
from numpy.typing import NDArray

from mtjkit_host.boards.prompt import resolve_port
from mtjkit_host.boards.serial_port import SerialPort
from mtjkit_host.boards.unix_port import UnixPort
from mtjkit_host.link.fleet import Fleet, Port
from mtjkit_host.link.image_result import ImageResult
from mtjkit_host.machine import tell
from mtjkit_host.option_names import shown_option
from mtjkit_host.parse import Given
from mtjkit_host.paths import cache_dir
from mtjkit_host.runs.options import RunOptions
from mtjkit_host.runs.parse_options import options_from_json, parse_options
from mtjkit_host.runs.result import Result
from mtjkit_host.runs.run import Begun, Job, collect, prepare
from mtjkit_host.runs.run_file import RunFile, identity
from mtjkit_host.runs.run_file_lines import read_head
from mtjkit_host.simulate.simulator import program

RUNS = Path("build") / "runs"

_OUTPUTS = ("json", "scores")  # options that only say where a result goes


class FleetBackend:
    """Devices behind a run file: a backend of mtjkit_host.runs.run.

    Args:
        ports: where the devices are reached; all of one kind.
        path: the run file.
    """

    def __init__(self, ports: Sequence[Port], path: Path) -> None:
        self.name = ports[0].backend
        self._ports = ports
        self._path = path
        self._results: Generator[ImageResult] | None = None
        self._first: list[ImageResult] = []

    def program(self, job: Job, progress: Callable[[int, int], None]) -> Begun:
        """Open the run file, reach the devices, wait for the first result."""
        o = job.options
        model = bytes(job.model.data)
        head = identity(model, job.inputs, len(job.inputs), o.write_errors)
        run = RunFile(self._path, {**head, "options": o.to_json()})
        fleet = Fleet(
            self._ports,
            model,
            o.write_errors,
            o.kernel,
            written_model=cache(lambda: program(job.model, o.write_errors)),
            progress=progress,
        )
        self._results = self._compute(run, fleet, job)
        resumed = len(run.results)
        self._first = [next(self._results)]
        return Begun(run.kernel, run.weight_bits, resumed)

    def results(self, job: Job) -> Iterator[ImageResult]:
        """All results, those of the run file first."""
        yield from self._first
        if self._results:
            yield from self._results

    def error_free(self, job: Job) -> bool:
        """Never: what a device computes is compared with the simulator."""
        return False

    def close(self) -> None:
        """Let go of the devices and of the run file."""
        if self._results:
            self._results.close()

    def _compute(self, run: RunFile, fleet: Fleet, job: Job) -> Generator[ImageResult]:
        try:
            with run:
                yield from complete(run, fleet, dict(enumerate(job.inputs)))
        except MtjkitError as error:
            if run.results:
                raise type(error)(f"{error}; {self.hint()}") from error
            raise

    def hint(self) -> str:
        """How to go on with a run that broke off."""
        return f"go on with --resume {self._path}"


def complete(
    run: RunFile, fleet: Fleet, images: Mapping[int, NDArray[np.int8]]
) -> Iterator[ImageResult]:
    """Yield all results of a run: those of its file, then the others as they come.

    Args:
        run: gets every new result before it is yielded.
        fleet: computes what is missing.
        images: all images of the run: see `Fleet.classify`.

    Raises:
        MtjkitError: see `Fleet.classify`; or the file cannot be written.
    """
    yield from list(run.results.values())
    missing = {index: image for index, image in images.items() if index not in run.results}
    if not missing:
        return
    for result in fleet.classify(missing):
        done = fleet.programmed
        if not run.kernel and done:
            run.begin(done.kernel, (done.bits_written, done.bits_wrong))
        run.append(result)
        yield result


def run_fleet(
    options: RunOptions, ports: Sequence[Port], path: Path | None = None, images: Any = None
) -> Result:
    """Classify the images on devices of one kind, sharing them out.

    Args:
        options: what to run.
        ports: where the devices are reached.
        path: the run file. If there is one already, the run goes on from it; None for a new file
            in build/runs.
        images: a program's own images instead of `options.data`: see
            `mtjkit_host.runs.run.run_twin`.

    Raises:
        MtjkitError: see mtjkit_host.runs.run; or the run file is another run's, or damaged;
            or no device is left.
    """
    job = prepare(options, images)
    backend = FleetBackend(ports, _new_path(options) if path is None else path)
    try:
        result = collect(job, backend)
        if options.kernel == "auto" and result.kernel in ("viper", "python"):
            tell(f"kernel {result.kernel}: {_faster(backend.name)}")
        return result
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {backend.hint()}") from None
    finally:
        backend.close()


def run_unix(
    options: RunOptions, boards: int = 1, path: Path | None = None, images: Any = None
) -> Result:
    """Classify the images on MicroPython's Unix port.

    Args:
        options, path, images: see run_fleet.
        boards: how many MicroPython processes share the images.

    Raises:
        MtjkitError: see run_fleet; MicroPython is not there; or there is no board.
    """
    if boards < 1:
        raise ConfigError(f"boards is 1 or more, not {boards}")
    names = ["MicroPython"] if boards == 1 else [f"MicroPython {n + 1}" for n in range(boards)]
    return run_fleet(options, [UnixPort(name=name) for name in names], path, images)


def run_ports(
    options: RunOptions, ports: Sequence[str], path: Path | None = None, images: Any = None
) -> Result:
    """Classify the images on the boards behind some serial ports.

    Args:
        options, path, images: see run_fleet.
        ports: /dev/ttyACM0, COM3, pseudo-terminals, socket://host:port, or auto for the only one.

    Raises:
        MtjkitError: see run_fleet; or a port is not there, or busy.
    """
    if not ports:
        raise ConfigError("--port names the board's serial port, or auto")
    found = [resolve_port(port) for port in ports]
    if len({os.path.realpath(port) for port in found}) < len(found):
        raise ConfigError(f"the same port is given twice: {', '.join(found)}")
    return run_fleet(options, [SerialPort(port) for port in found], path, images)


def _faster(backend: str) -> str:
    """How to come to the C kernels."""
    again = ", then `flash`," if backend == "serial" else ""
    return f"`firmware`{again} brings C kernels, which are 3 to 6 times as fast"


def parse_run(resume: Given = None, **texts: Given) -> tuple[RunOptions, Path | None]:
    """Check the options of a run as typed, or take them from the run file to go on with.

    Args:
        resume: a run file, whose options count; only --json and --scores may be given beside it.
        texts: as for mtjkit_host.runs.parse_options.parse_options.

    Returns:
        The options, and the run file to go on with or None.

    Raises:
        ConfigError, FormatError: an option is wrong, or the file is not there or damaged.
    """
    if resume is None:
        return parse_options(**texts), None
    given = [name for name, text in texts.items() if text is not None and name not in _OUTPUTS]
    if given:
        raise ConfigError(
            f"--resume goes on with the run's own options: leave out {shown_option(given[0])}"
        )
    path = Path(str(resume))
    options = options_from_json(read_head(path).get("options"), str(path))
    outputs = parse_options(**{name: texts.get(name) for name in _OUTPUTS})
    return replace(options, json=outputs.json, scores=outputs.scores), path


def _new_path(options: RunOptions) -> Path:
    """A new, empty run file: made here, so that no other run takes the same name.

    Where the working folder cannot be written to, it lies in the cache, and a line says so.
    """
    try:
        return _new_file(RUNS, options.model.stem)
    except OSError as error:
        why = f"cannot write run files in {RUNS}: {error.strerror or error}"
    spare = cache_dir() / "runs"
    try:
        path = _new_file(spare, options.model.stem)
    except OSError as error:
        raise ConfigError(f"{why}; nor in {spare}: {error.strerror or error}") from None
    tell(f"{why}; this run's is {path}")
    return path


def _new_file(folder: Path, stem: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    n = 1
    while (path := folder / f"{stem}-{n}.jsonl").exists() or not _made(path):
        n += 1
    return path


def _made(path: Path) -> bool:
    """Make an empty file; False if another process was faster."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
