"""The options of a run, from the strings of a command line to checked values.

`run-unix`, `run`, `twin` and every emulated board take the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mtjkit_core.errors import ConfigError
from mtjkit_core.mtj_memory import FLIP, KEEP, threshold_from_rate

from mtjkit_host import parse
from mtjkit_host.mtj.cell import Cell, load_cell
from mtjkit_host.paths import CARRIED, CARRIED_IMAGES, CARRIED_MODEL

ERRORS = {"flip": FLIP, "keep": KEEP}
KERNELS = ("auto", "python", "viper", "asm_thumb", "native")

_MAX_PULSE_NS = 1e9  # a second


@dataclass(frozen=True)
class RunOptions:
    """What to run, on which images, through which memory. `parse_options` makes it."""

    model: Path = CARRIED_MODEL
    """Model file (.mtjb)."""
    data: Path = CARRIED_IMAGES
    """CIFAR-10's binary files, or photographs (see mtjkit_host.datasets.images)."""
    images: int | None = None
    """How many images, the first ones; None for all."""
    ber: float = 0.024
    """Write-error rate of feature maps, 0..1."""
    given_pulse_ns: float | None = None
    """Pulse width for feature maps, ns, where `ber` was computed from one."""
    weight_ber: float = 0.0
    """Write-error rate of weights, 0..1."""
    errors: str = "flip"
    """"flip": an error inverts the written bit; "keep": it leaves the old bit."""
    cell: Cell = field(default_factory=Cell)
    """The MTJ cell."""
    seed: int = 0
    """Seed of every random stream, 0..2**64 - 1."""
    kernel: str = "auto"
    """The device's kernel; the twin has its own arithmetic and takes no notice."""
    json: Path | None = None
    """File for the result as JSON; None for no file."""

    @property
    def threshold(self) -> int:
        """Feature maps' error rate as the engines' integer."""
        return threshold_from_rate(self.ber)

    @property
    def pulse_ns(self) -> float | None:
        """Pulse width for feature maps, ns; None where no pulse is long enough (rate 0)."""
        if self.given_pulse_ns is not None:
            return self.given_pulse_ns
        return self.cell.pulse_width_ns(self.ber) if self.ber else None

    @property
    def weight_threshold(self) -> int:
        """Weights' error rate as the engines' integer."""
        return threshold_from_rate(self.weight_ber)

    @property
    def weight_pulse_ns(self) -> float | None:
        """Pulse width for weights, ns; None for rate 0."""
        return self.cell.pulse_width_ns(self.weight_ber) if self.weight_ber else None

    @property
    def error_kind(self) -> int:
        """mtjkit_core.mtj_memory.FLIP or KEEP."""
        return ERRORS[self.errors]


def parse_options(
    *,
    model: str | None = None,
    data: str | None = None,
    images: str | None = None,
    ber: str | None = None,
    pulse_ns: str | None = None,
    weight_ber: str | None = None,
    errors: str | None = None,
    device: str | None = None,
    seed: str | None = None,
    kernel: str | None = None,
    json: str | None = None,
) -> RunOptions:
    """Check options as typed; None where one was not given.

    Raises:
        ConfigError: one line that names the option and says what it takes.
    """
    if ber is not None and pulse_ns is not None:
        raise ConfigError("--ber and --pulse-ns both set the error rate; give one of them")
    cell = load_cell(device) if device is not None else Cell()
    pulse: float | None = None
    if pulse_ns is not None:
        pulse = parse.number("--pulse-ns", pulse_ns)
        if not 0 < pulse <= _MAX_PULSE_NS:
            raise ConfigError(f"--pulse-ns must be above 0 and at most 1e9, not {pulse_ns}")
        rate = cell.error_rate(pulse)
    else:
        rate = RunOptions.ber if ber is None else parse.rate("--ber", ber)
    return RunOptions(
        model=CARRIED_MODEL if model is None else model_path(model),
        data=_path("--data", data, CARRIED_IMAGES),
        images=None if images is None else parse.whole("--images", images, 1, 2**30 - 1),
        ber=rate,
        given_pulse_ns=pulse,
        weight_ber=0.0 if weight_ber is None else parse.rate("--weight-ber", weight_ber),
        errors="flip" if errors is None else parse.choice("--errors", errors, tuple(ERRORS)),
        cell=cell,
        seed=0 if seed is None else parse.whole("--seed", seed, 0, 2**64 - 1),
        kernel="auto" if kernel is None else parse.choice("--kernel", kernel, KERNELS),
        json=_output("--json", json),
    )


def model_path(text: str) -> Path:
    """Return the file that is meant by a path, or by the name of a model that mtjkit carries.

    Raises ConfigError for a text that is no path.
    """
    path = _path("--model", text, CARRIED_MODEL)
    carried = CARRIED / f"{path.name}.mtjb"
    return carried if path.name == text and not path.exists() and carried.is_file() else path


def _path(option: str, text: str | None, default: Path) -> Path:
    if text is None:
        return default
    if not text or "\0" in text:
        raise ConfigError(f"{option} takes a path, not {text!r}")
    return Path(text)


def _output(option: str, text: str | None) -> Path | None:
    """A file to be written at the end of a long run: what can be refused is refused before it."""
    if text is None:
        return None
    path = _path(option, text, Path())
    if path.is_dir():
        raise ConfigError(f"{option} takes a file to write, {path} is a folder")
    return path
