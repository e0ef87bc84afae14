"""What MicroPython's raw REPL answers to code, played over a line that sends back what it gets."""

import pytest
import serial
from mtjkit_core.errors import LinkError
from mtjkit_host.boards import raw_repl
from mtjkit_host.boards.raw_repl import RawRepl

TRACE = b"Traceback (most recent call last):\r\n  File x, line 1\r\n"


@pytest.fixture
def answered(monkeypatch):
    """What `finish` makes of an answer."""
    line = serial.serial_for_url("loop://", timeout=0.05)
    monkeypatch.setattr(raw_repl, "open_port", lambda port, timeout_s: line)
    repl = RawRepl("played")

    def finish(answer):
        line.write(answer)
        return repl.finish(1.0)

    return finish


def test_what_the_code_prints(answered):
    assert answered(b"OK1 2\r\n\x04\x04>") == b"1 2\r\n"


def test_a_log_line_of_the_boards_system_is_no_error(answered):
    assert answered(b"OK3\r\n\x04E (12) wifi: Error: 5\r\n\x04>") == b"3\r\n"


@pytest.mark.parametrize("trace", [TRACE, b""])
def test_an_error_is_one_with_and_without_its_traceback(answered, trace):
    """MicroPython has no memory for a traceback where the heap is full or locked."""
    with pytest.raises(LinkError, match=r"^played: MemoryError: heap is locked$"):
        answered(b"OKsome\r\n\x04" + trace + b"MemoryError: heap is locked\r\n\x04>")
