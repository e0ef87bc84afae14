"""A board behind a serial port, found again where it comes back after it was unplugged."""

from __future__ import annotations

from contextlib import AbstractContextManager

from mtjkit_core.errors import LinkError
from serial.tools import list_ports

from mtjkit_host.link.link import Link


class SerialPlace:
    """Where a board is reached: a Place of a Fleet.

    Args:
        port: /dev/ttyACM0, COM3, a pseudo-terminal's path, socket://host:port.
        backend: name of the kind of device, for results.
    """

    def __init__(self, port: str, backend: str = "serial") -> None:
        self.name = port
        self._port = port
        self.backend = backend
        self._serial_number = self._find_serial_number()

    def connect(self) -> AbstractContextManager[Link]:
        """A link to the board, wherever it is plugged in now.

        Raises:
            LinkError: it is not there, or busy.
        """
        if self._serial_number and self._find_serial_number() != self._serial_number:
            self._port = self._find_port()
        return Link.open(self._port, self.backend, self.name)

    def _find_serial_number(self) -> str | None:
        """The USB serial number of what is plugged in at our port."""
        for port in list_ports.comports():
            if port.device == self._port:
                return str(port.serial_number) if port.serial_number else None
        return None

    def _find_port(self) -> str:
        for port in list_ports.comports():
            if port.serial_number == self._serial_number:
                return str(port.device)
        raise LinkError(f"{self.name}: the board {self._serial_number} is not plugged in")
