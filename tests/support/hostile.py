"""Lines and boards that do not behave, and a proxy that puts log lines on a line."""

import contextlib
import os
import pty
import socket
import threading
import time
import tty
from contextlib import contextmanager


@contextmanager
def pseudo_terminal(answer):
    """A port at whose other end a function answers.

    Args:
        answer: called again and again with (bytes that came, seconds since the start); returns what
            to send.
    """
    master, slave = pty.openpty()
    tty.setraw(slave)
    ended = threading.Event()
    os.set_blocking(master, False)
    started = time.monotonic()

    def talk():
        while not ended.is_set():
            came = b""
            with contextlib.suppress(BlockingIOError):
                came = os.read(master, 4096)
            said = answer(came, time.monotonic() - started)
            while said and not ended.is_set():
                try:
                    said = said[os.write(master, said) :]
                except BlockingIOError:
                    time.sleep(0.001)
            time.sleep(0.001)

    thread = threading.Thread(target=talk, daemon=True)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        ended.set()
        thread.join()
        os.close(master)
        os.close(slave)


class FakeRepl:
    """A raw REPL that answers to whatever it is told with the same text."""

    def __init__(self, text):
        self.text = text
        self._came = b""

    def __call__(self, came, seconds):
        self._came += came
        if b"\x01" in self._came:
            self._came = self._came.rpartition(b"\x01")[2]
            return b"raw REPL; CTRL-B to exit\r\n>"
        code, end, self._came = self._came.partition(b"\x04")
        if not end:
            self._came = code
            return b""
        if not code:
            return b"OK\r\nMPY: soft reboot\r\nraw REPL; CTRL-B to exit\r\n>"
        return b"OK" + (self.text if b"_r" in code else b"") + b"\x04\x04>"


@contextmanager
def log_lines(port, every_s):
    """A port that reaches another, `socket://HOST:PORT`, and carries a log line now and then."""
    host, number = port.removeprefix("socket://").split(":")
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve():
        with contextlib.suppress(OSError):
            while True:
                here, _ = listener.accept()
                there = socket.create_connection((host, int(number)))
                lock = threading.Lock()
                for task in (down, noise, up):
                    threading.Thread(target=task, args=(here, there, lock), daemon=True).start()

    def down(here, there, lock):
        with contextlib.suppress(OSError):
            while data := there.recv(4096):
                with lock:
                    here.sendall(data)

    def up(here, there, lock):
        with contextlib.suppress(OSError):
            while data := here.recv(4096):
                there.sendall(data)
        for end in (there, here):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def noise(here, there, lock):
        with contextlib.suppress(OSError):
            while not ended.wait(every_s):
                with lock:
                    here.sendall(b"W (12345) wifi:station left, reason 8\r\n")

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"socket://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ended.set()
        listener.close()
