"""A device whose side does not start: what it says is shown, and soon."""

import shutil
import time

import pytest
from mtjkit_core.errors import LinkError
from mtjkit_host.boards import unix_port
from mtjkit_host.boards.flash import flash
from mtjkit_host.boards.prompt import Board
from mtjkit_host.link.link import Link
from mtjkit_host.link.said import error_of, last_line
from mtjkit_host.link.session import Session


def test_a_syntax_error_in_a_module(micropython, tmp_path, monkeypatch):
    lib = tmp_path / "lib"
    shutil.copytree(unix_port.LIB, lib)
    engine = lib / "mtjkit_device" / "server.py"
    engine.write_text("x = 1 +\n" + engine.read_text())
    monkeypatch.setattr(unix_port, "LIB", lib)
    with (
        pytest.raises(LinkError, match=r"^MicroPython ended: SyntaxError: invalid syntax$"),
        unix_port.UnixPort(micropython) as link,
    ):
        Session(link, hello_s=10)


def test_a_users_file_in_the_way_of_a_module_on_a_board(emulator):
    """A module that shadows one of ours."""
    with emulator("mps2-an385") as port:
        flash(port)
        with Board(port) as board:
            board.execute("with open('/lib/mtjkit_core/frames.py', 'w') as f: f.write('1 / 0')")
            board.restart()
        started = time.monotonic()
        with Link.open(port) as link, pytest.raises(LinkError) as caught:
            Session(link)
        reason = "the board's program ended: ZeroDivisionError: divide by zero"
        assert str(caught.value) == f"{port}: {reason}"
        assert time.monotonic() - started < 40  # not until every patience is used up


def test_the_error_of_the_last_traceback():
    trace = b"Traceback (most recent call last):\r\n  File x, line 1\r\n%s\r\n>>> raw REPL\r\n>"
    assert error_of(trace % b"OSError: 1" + trace % b"KeyError: x") == "KeyError: x"
    assert error_of(b"OSError: 1\r\n") == ""


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (b"", ""),
        (b"\x00\x01\x02\xff\xfe", ""),
        (b"Traceback (most recent call last):\r\n  File\r\nOSError: 2\r\n>>> ", "OSError: 2"),
        (b"\x1b[31mred\x1b[0m \x1b]0;title\x07alarm\x1b[2J\r\n", "red alarm"),
        (b"telemetry 1\r\ntelemetry 2\r\ntele", "tele"),
        (b"OK\x04\x04>", ""),
        ("grün\r\n".encode(), "grün"),
        (b"x" * 500, "x" * 119 + "…"),
    ],
)
def test_what_a_device_says_is_fit_for_a_message(said, shown):
    assert last_line(said) == shown
