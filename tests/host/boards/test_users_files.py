"""A user's files on a board: flashing never destroys one, and unflash takes away only ours."""

import json

import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_host.boards.flash import describe as describe_flash
from mtjkit_host.boards.flash import flash
from mtjkit_host.boards.installed import _EARLIER_MAINS, Installed
from mtjkit_host.boards.prompt import Board
from mtjkit_host.boards.unflash import describe, unflash

MINE = b"# greenhouse controller, the only copy\nprint('hello')\n"
OTHER = b"print('the second program')\n"
MAIN, KEPT, KEPT_2 = "/main.py", "/main_before_mtjkit.py", "/main_before_mtjkit_2.py"


@pytest.fixture(scope="module")
def port(emulator):
    """An emulated Cortex-M3 board with a program of the user's."""
    with emulator("mps2-an385") as address:
        put(address, {MAIN: MINE, "/boot.py": b"x = 1\n"})
        yield address


def put(port, files):
    with Board(port) as board:
        for path, text in files.items():
            board.execute(f"with open({path!r}, 'wb') as f: f.write({text!r})")


def text(board, path):
    return board.evaluate(f"open({path!r}, 'rb').read()", bytes)


def test_flash_stops_at_a_main_py_of_the_users(port):
    with pytest.raises(ConfigError) as caught:
        flash(port)
    assert str(caught.value).startswith(f"{port}: the board has a main.py of your own: ")
    assert "--replace-main" in str(caught.value)
    assert "--no-main" in str(caught.value)
    with Board(port) as board:
        assert sorted(board.listing("/")) == ["boot.py", "main.py"]
        assert text(board, MAIN) == MINE


def test_the_package_alone(port):
    done = flash(port, main="leave")
    assert done.info is None
    assert MAIN not in done.copied
    assert "main.py is as it was" in describe_flash(done)
    with Board(port) as board:
        assert text(board, MAIN) == MINE
        board.execute("from mtjkit_device.engine import Engine")


def test_a_main_py_is_kept_and_put_back(port):
    done = flash(port, main="replace")
    assert done.kept_main == KEPT
    assert done.info.free_bytes > 0
    assert f"your main.py is {KEPT} now" in describe_flash(done)
    with Board(port) as board:
        assert text(board, KEPT) == MINE
    again = flash(port)  # the main.py there is ours now
    assert (again.copied, again.kept_main) == ((), "")
    put(port, {MAIN: OTHER})  # the user writes another one
    with pytest.raises(ConfigError, match=r"a main\.py of your own"):
        flash(port)
    assert flash(port, main="replace").kept_main == KEPT_2
    put(port, {"/lib/mtjkit_core/bits.mpy": b"changed", "/lib/mine.py": b"y = 1\n"})
    done = unflash(port)
    assert done.left == ("/lib/mtjkit_core/bits.mpy",)
    assert done.restored_main == KEPT_2
    assert "changed since: /lib/mtjkit_core/bits.mpy" in describe(done)
    with Board(port) as board:
        assert text(board, MAIN) == OTHER
        assert text(board, KEPT) == MINE  # the older copy
        assert sorted(board.listing("/lib")) == ["mine.py", "mtjkit_core"]
        assert board.listing("/lib/mtjkit_core") == ["bits.mpy"]
        assert text(board, "/boot.py") == b"x = 1\n"
    with pytest.raises(ConfigError, match=r"no list of flashed files \(mtjkit.json\)"):
        unflash(port)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[]",
        "{",
        "[" * 10_000,
        '{"mtjkit":2,"files":{},"kept_main":"","mapped_model":""}',
        '{"mtjkit":1,"files":{"/main.py":1},"kept_main":"","mapped_model":""}',
        '{"mtjkit":1,"files":{},"kept_main":7,"mapped_model":""}',
        json.dumps({"mtjkit": 1, "files": {"/a": "0" * 20_000}, "kept_main": ""}),
    ],
)
def test_of_a_damaged_list_nothing_is_ours(text):
    assert Installed.from_text(text).is_empty


def test_a_list_comes_back_as_it_was():
    known = Installed({"/main.py": "ab", "/lib/x.mpy": "cd"}, "/main_before_mtjkit.py", "ef")
    assert Installed.from_text(known.to_bytes().decode()) == known
    assert known.owns("/main.py", "ab")
    assert not known.owns("/main.py", "cd")
    assert not known.owns("/main.py", "")
    assert Installed().owns("/flash/main.py", _EARLIER_MAINS[0])
