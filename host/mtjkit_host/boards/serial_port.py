"""A board behind a serial port, found again where it comes back after it was unplugged."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

from mtjkit_core.errors import LinkError
from serial.tools import list_ports

from mtjkit_host.link.link import Link


class SerialPort:
    """Where a board is reached: a Port of a Fleet.

    USB devices are known by their serial number, wherever they are plugged in. One device may have
    several ports, and cheap adapters share a number: of those it is the first, second, ...

    Args:
        port: /dev/ttyACM0, COM3, a pseudo-terminal's path, socket://host:port.
        backend: name of the kind of device, for results.
        name: what messages call the board; "" for its port.

    Attributes:
        port: where the board was found last.
    """

    def __init__(self, port: str, backend: str = "serial", name: str = "") -> None:
        self.name = name or port
        self.backend = backend
        self.port = port
        self._serial_number = self._number()
        ports = _ports(self._serial_number)
        self._rank = ports.index(self._device()) if self._serial_number else 0

    def connect(self) -> AbstractContextManager[Link]:
        """A link to the board, wherever it is plugged in now.

        Raises:
            LinkError: it is not there, or busy.
        """
        if self._serial_number:
            found = _ports(self._serial_number)
            if self._device() not in found:
                if self._rank >= len(found):
                    raise LinkError(
                        f"{self.name}: the board {self._serial_number} is not plugged in"
                    )
                self.port = found[self._rank]
        return Link.open(self.port, self.backend, self.name)

    def _device(self) -> str:
        """Our port, without links such as /dev/serial/by-id/..."""
        return os.path.realpath(self.port) if os.path.exists(self.port) else self.port

    def _number(self) -> str | None:
        """The USB serial number of what is plugged in at our port."""
        for port in list_ports.comports():
            if port.device == self._device():
                return str(port.serial_number) if port.serial_number else None
        return None


def _ports(serial_number: str | None) -> list[str]:
    """Where devices of a serial number are plugged in."""
    return sorted(
        str(port.device) for port in list_ports.comports() if port.serial_number == serial_number
    )
