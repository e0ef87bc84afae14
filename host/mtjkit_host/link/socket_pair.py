"""One end of a socket pair as a port: the line to a process on this computer.

It loses nothing, and what nobody reads waits. So no thread has to read it all the time, and a
message costs one system call on each side, where a pseudo-terminal takes several and a hop through
the kernel's own threads.
"""

from __future__ import annotations

import contextlib
import select
import socket

_PIECE = 1 << 16  # most bytes of a read


class SocketPair:
    """This end; the caller closes it.

    Args:
        line: an end of socket.socketpair().
    """

    def __init__(self, line: socket.socket) -> None:
        self.is_open = True
        self._line = line
        line.setblocking(False)

    def read_within(self, timeout_s: float) -> bytes:
        """What has come, after waiting for it; b"" if nothing comes in time.

        Raises:
            OSError: the other end is closed.
        """
        with contextlib.suppress(BlockingIOError):
            return self._read()
        if timeout_s <= 0 or not select.select([self._line], [], [], timeout_s)[0]:
            return b""
        return self._read()

    def _read(self) -> bytes:
        data = self._line.recv(_PIECE)
        if not data:
            raise OSError("the connection is gone")
        return data

    def exchange(self, data: memoryview, timeout_s: float) -> tuple[int, bytes]:
        """Send what the line has room for; where there is none, wait for room or for bytes.

        Returns:
            How many bytes were sent, and what came meanwhile.

        Raises:
            OSError: the other end is closed.
        """
        with contextlib.suppress(BlockingIOError):
            return self._line.send(data), b""
        came = select.select([self._line], [self._line], [], timeout_s)[0]
        return 0, self._read() if came else b""

    def cancel_write(self) -> None:
        """From another thread: whoever reads or writes now ends with an OSError."""
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this end."""
        self.is_open = False
        self._line.close()
