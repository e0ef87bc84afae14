"""Boards and lines that do not behave: flashing ends in time, and says what came from there."""

import contextlib
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from mtjkit_core.errors import LinkError
from mtjkit_host.boards.flash import flash
from mtjkit_host.boards.prompt import Board
from mtjkit_host.link.link import Link
from mtjkit_host.link.session import Session
from support.hostile import FakeRepl, log_lines, pseudo_terminal

GPS = b"$GPGGA,120000.00,0000.00,N,00000.00,E,1,08,0.9,10.0,M,,M,,*5B\r\n"
LOGIN = b"\r\nDebian GNU/Linux 12 board ttyS0\r\n\r\nboard login: "
TIGHT = b"import micropython\nmicropython.kbd_intr(-1)\nwhile True: print('telemetry telemetry')\n"
CALM = b"import micropython, time\nmicropython.kbd_intr(-1)\nwhile True:\n print('telemetry')\n"
DEAF = b"while True:\n try:\n  while True: print('telemetry')\n except KeyboardInterrupt: pass\n"
BOOT = b"import time\nprint('connecting to the network')\ntime.sleep(%d)\n"
ENDLESS = (
    b"import time\nwhile True:\n try:\n  time.sleep(1)\n except KeyboardInterrupt: print('no')\n"
)
AT_FLASH = b"""import os, sys, vfs
vfs.umount('/')
vfs.mount(flash, '/flash')
os.chdir('/flash')
sys.path[:] = ['', '.frozen', '/flash', '/flash/lib']
"""


def put(port, files):
    """Write files and start the board anew with them."""
    with Board(port) as board:
        for path, text in files.items():
            board.execute(f"with open({path!r}, 'wb') as f: f.write({text!r})")
        board.restart()
    time.sleep(0.3)


NO_BOARDS = {
    "silent": (lambda came, s: b"", ""),
    "gps": (lambda came, s: GPS if s % 0.2 < 0.02 else b"", r" What comes .*: \$GPGGA,1200.*"),
    "login": (lambda came, s: LOGIN if s % 1 < 0.01 else b"", " What comes .*: board login:"),
    "flood": (lambda came, s: os.urandom(512), ".*"),
    "zeros": (lambda came, s: bytes(64), ""),
    "echo": (lambda came, s: came, ".*"),
    "escapes": (lambda came, s: b"\x1b[2J\x1b[31mboo\x1b[0m\r\n", " What comes .*: boo"),
}
"""Name -> (what it answers, what the error shows of that)."""


def end_of(answer):
    """The port, the error that ends looking for a board there, and the seconds until then."""
    started = time.monotonic()
    with pseudo_terminal(answer) as port, pytest.raises(LinkError) as caught:
        Board(port, wait_s=0.4)
    return port, caught.value, time.monotonic() - started


@pytest.fixture(scope="module")
def ends():
    """Name -> its end. They wait side by side."""
    with ThreadPoolExecutor(len(NO_BOARDS)) as pool:
        futures = {name: pool.submit(end_of, answer) for name, (answer, _) in NO_BOARDS.items()}
    return {name: future.result() for name, future in futures.items()}


@pytest.mark.parametrize("name", NO_BOARDS)
def test_what_is_no_board_is_left_in_time(name, ends):
    port, error, seconds = ends[name]
    shown = NO_BOARDS[name][1]
    assert re.search(rf"(?s)^{port}: no MicroPython prompt.*port\?{shown}$", str(error))
    assert seconds < 60  # and what a busy machine takes


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"\x025\x031\x03", "the board's answer makes no sense: 5"),
        (b"\x02{}\x032\x03", "the board's answer makes no sense: {}"),
        (b"\x02" + b"[" * 5000 + b"\x035000\x03", r"the board's answer makes no sense: \[\[\["),
        (b"\x02{}\x039\x03", "the board's answer is not clear"),
        (b"x" * 10_000_000, "the board says more than 131072 bytes where an answer was expected"),
        (b"", "the board's answer is not clear"),
    ],
    ids=["number", "empty", "deep", "cut", "endless", "nothing"],
)
def test_a_boards_answers_are_checked(text, reason):
    with (
        pseudo_terminal(FakeRepl(text)) as port,
        pytest.raises(LinkError, match=f"^a board: {reason}"),
    ):
        Board(port, name="a board")


@pytest.mark.parametrize("program", [TIGHT, CALM + b" time.sleep_ms(50)\n"])
def test_a_program_that_cannot_be_stopped_is_quoted(emulator, program):
    with emulator("mps2-an385") as port:
        put(port, {"/main.py": program})
        started = time.monotonic()
        # In a stream without end the last line may be cut anywhere.
        with pytest.raises(LinkError, match=r"no MicroPython prompt.*from there: .*(tel|try)"):
            Board(port, wait_s=5)
        assert time.monotonic() - started < 60


def test_a_program_that_takes_ctrl_c_for_nothing(emulator):
    """Two in a row may end it: either way it is known in time."""
    with emulator("mps2-an385") as port:
        put(port, {"/main.py": DEAF})
        started = time.monotonic()
        with contextlib.suppress(LinkError):
            Board(port, wait_s=5).close()
        assert time.monotonic() - started < 60


def test_a_boot_py_that_is_slow_or_endless(emulator):
    with emulator("mps2-an385") as port:
        put(port, {"/boot.py": BOOT % 4})
        with Board(port) as board:
            assert board.boot_ended
        with Board(port, boot_s=1.5) as board:
            assert not board.boot_ended  # it was interrupted
            board.execute(f"with open('/boot.py', 'wb') as f: f.write({ENDLESS!r})")
        with pytest.raises(LinkError, match=r"boot\.py has run for 1 s, and Ctrl-C does not end"):
            Board(port, boot_s=1)


@pytest.mark.slow
def test_a_boot_py_of_thirty_seconds(emulator):
    """Flashed and run, from its prompt too."""
    with emulator("mps2-an385") as port:
        put(port, {"/boot.py": BOOT % 30})
        flash(port)
        with Board(port):
            pass
        with Link.open(port) as link:
            assert Session(link).info.free_bytes


def test_log_lines_of_the_boards_system(emulator):
    with emulator("mps2-an385") as port, log_lines(port, 1.0) as noisy:
        done = flash(noisy)
        assert done.info.free_bytes
        assert flash(noisy).copied == ()
    with emulator("mps2-an385") as port, log_lines(port, 0.005) as noisy:
        started = time.monotonic()
        try:
            Board(noisy).close()
        except LinkError as error:
            assert "wifi:station left" in str(error)  # noqa: PT017
        assert time.monotonic() - started < 60


def test_a_file_system_at_flash(emulator):
    """As MicroPython's STM32, mimxrt, nRF and renesas-ra ports mount theirs."""
    with emulator("mps2-an385") as port:
        put(port, {"/boot.py": AT_FLASH})
        done = flash(port)
        assert done.board.root == "/flash"
        assert done.copied[-1] == "/flash/main.py"
        assert flash(port).copied == ()
        with Board(port) as board:
            names = {"boot.py", "main.py", "lib"}
            assert set(board.listing("/flash")) == names
            board.restart()
        with Link.open(port) as link:
            assert Session(link).info.free_bytes
