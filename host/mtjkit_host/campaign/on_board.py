"""A board in the place of a simulator: a campaign's points, measured by the firmware."""

from __future__ import annotations

from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import COUNTS, NO_ERRORS, WriteErrors
from numpy.typing import NDArray

from mtjkit_host.link.fleet import Fleet, Port
from mtjkit_host.link.session import WrittenModel
from mtjkit_host.simulate.draws import Words
from mtjkit_host.simulate.inputs import checked
from mtjkit_host.simulate.simulator import program

UNIX = "unix"
"""Instead of a serial port: MicroPython's Unix port, in a process of its own."""


def port_of(name: str) -> Port:
    """Where a board is reached.

    Args:
        name: a serial port, auto for the only one, or `UNIX`.

    Raises:
        ConfigError: there is no such port.
    """
    if name == UNIX:
        from mtjkit_host.boards.unix_port import UnixPort  # pseudo-terminals: not everywhere

        return UnixPort()
    from mtjkit_host.boards.prompt import resolve_port
    from mtjkit_host.boards.serial_port import SerialPort

    return SerialPort(resolve_port(name))


class BoardSimulator:
    """A binary net on a board; see mtjkit_host.simulate.simulator.Simulator.

    The board writes the weights itself, with the errors of the run, and must count what the
    simulator counts. It hands out no feature maps.

    Args:
        port: where the board is reached, anew for every call of `run`.
        net: the model.
        written: gives the model with its weights written, and the counts, if they may fail.

    Attributes:
        kernel: the kernel that the board took last.
    """

    engine = "board"
    bits = 1
    arithmetic = "integers, of the firmware"

    def __init__(self, port: Port, net: Model, written: WrittenModel | None = None) -> None:
        self.net = net
        self.kernel = ""
        self._port = port
        self._written = written

    def program(self, errors: WriteErrors) -> tuple[BoardSimulator, NDArray[np.int64]]:
        """See Simulator.program."""
        written = program(self.net, errors)
        return BoardSimulator(self._port, self.net, lambda: written), written[1]

    def run(
        self,
        images: NDArray[Any],
        indices: NDArray[Any] | None = None,
        errors: WriteErrors = NO_ERRORS,
        trace: list[Words] | None = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """See Simulator.run; the errors are also those of the weights.

        Raises:
            ConfigError: also for a trace, or if the board cannot run the net.
            LinkError, ProtocolError: the board is gone, or does not do what it should.
        """
        if trace is not None:
            raise ConfigError("a board hands out no feature maps")
        inputs, indices = checked(self.net, images, indices, errors)
        n = len(inputs)
        places = {int(index): place for place, index in enumerate(indices)}
        scores = np.empty((n, self.net.classes), np.int32)
        counts = np.empty((n, len(COUNTS)), np.int64)
        fleet = Fleet([self._port], bytes(self.net.data), errors, written_model=self._written)
        for result in fleet.classify(dict(zip(places, inputs, strict=True))):
            scores[places[result.index]] = result.scores
            counts[places[result.index]] = result.counts
        if fleet.programmed:
            self.kernel = fleet.programmed.kernel
        return scores, counts

    def elements(self, trace: list[Words]) -> list[NDArray[Any]]:
        """A board hands out no feature maps."""
        raise ConfigError("a board hands out no feature maps")
