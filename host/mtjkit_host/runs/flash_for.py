"""`flash` with the model of a run, whose weights the host writes where the board cannot."""

from __future__ import annotations

from dataclasses import replace

from mtjkit_export.formats.mtjb_reader import load

from mtjkit_host.boards.flash import Flashed, flash
from mtjkit_host.runs.options import RunOptions
from mtjkit_host.simulate.simulator import program


def flash_for(options: RunOptions, port: str, main: str = "ask") -> Flashed:
    """Make a board ready for `run` with the same options.

    A board cannot write weights that it maps read-only: the host writes them here, with their
    errors. Those that go to the RAM are written by the board itself, when it runs.

    Args:
        options: the run's; model, kernel, weight errors and seed count.
        port, main: as for `flash`.

    Raises:
        MtjkitError: see `flash`.
    """
    o = options
    model, counts = program(load(o.model), o.write_errors)
    done = flash(port, bytes(model.data), o.kernel, main)
    if not (done.mapped and o.write_errors.weights_fail):
        return done
    written, _, wrong, *_ = counts.tolist()
    return replace(done, weight_bits=(written, wrong))
