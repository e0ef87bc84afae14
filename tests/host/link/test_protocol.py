"""The bytes of every message are locked, and PROTOCOL.md says what the code does."""

import ast
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mtjkit_core import blocks
from mtjkit_core import messages as m
from mtjkit_core.errors import ProtocolError
from mtjkit_core.frames import BODY_AT, Deframer
from mtjkit_core.whole_frames import frames, pack
from mtjkit_core.write_errors import FLIP, WriteErrors
from mtjkit_host.link.packed import packed
from mtjkit_host.link.requests import Info, device_error

ROOT = Path(__file__).parents[3]
RECORDS = json.loads((ROOT / "tests" / "vectors" / "link.json").read_text())
PAGE = (ROOT / "host" / "PROTOCOL.md").read_text()
MESSAGES = {
    message.name: message
    for message in (*vars(m).values(), *vars(blocks).values())
    if isinstance(message, m.Message)
}


def body_of(record):
    named = {k: bytes.fromhex(v) if isinstance(v, str) else v for k, v in record["fields"].items()}
    return MESSAGES[record["message"]].pack(**named, data=bytes.fromhex(record["data"]))


def test_every_message_is_locked():
    assert {record["message"] for record in RECORDS} == set(MESSAGES)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["message"])
def test_locked_bytes(record):
    message = MESSAGES[record["message"]]
    assert record["kind"] == message.kind
    body = body_of(record)
    frame = bytes.fromhex(record["frame"])
    assert pack(message.kind, record["seq"], body) == frame
    assert list(frames(Deframer(), frame)) == [(message.kind, record["seq"], body)]
    values = [v.hex() if isinstance(v, bytes) else v for v in message.unpack(body)]
    assert tuple(record["fields"]) == message.names[: len(message.names) - message.tail]
    assert values == [*record["fields"].values()] + [record["data"]] * message.tail


def test_the_annotated_frame_is_a_locked_one():
    [dump] = re.findall(r"^    ((?:[0-9a-f]{2} )+00)$", PAGE, re.M)
    assert bytes.fromhex(dump).hex() in [record["frame"] for record in RECORDS]
    parts = re.findall(r"^\| `([0-9a-f ]+)` \|[^|]*\| (?!u8|u16)", PAGE, re.M)
    assert " ".join(parts[: parts.index("00") + 1]) == dump


def test_the_page_names_every_message_by_its_number():
    rows = re.findall(r"^\| ([0-9a-f]{2}) \| ([A-Z_]+) \|", PAGE, re.M)
    assert {name: int(kind, 16) for kind, name in rows} == {
        name: message.kind for name, message in MESSAGES.items()
    }


@pytest.mark.parametrize("name", ["CONFIGURE", "WRITE_ERRORS", "INFO", "RESULT"])
def test_the_pages_tables_are_the_messages_fields(name):
    table = PAGE.split(f"### {name}\n")[1].split("\n#")[0]
    rows = re.findall(r"^\| (\d+) \| (\d+|\d+ k) \| [a-z0-9]+ \| (\w+) \|", table, re.M)
    assert tuple(field for _, _, field in rows) == MESSAGES[name].names
    for offset, _, field in rows:
        assert int(offset) == MESSAGES[name].at(field) - BODY_AT
    for (offset, size, _), (after, *_) in pairwise(rows):
        assert int(after) == int(offset) + int(size)
    last = int(rows[-1][0]) + (0 if "k" in rows[-1][1] else int(rows[-1][1]))
    assert last == MESSAGES[name].size


def info_body(**changes):
    [record] = [record for record in RECORDS if record["message"] == "INFO"]
    body = bytearray(body_of(record))
    for at, value in changes.items():
        body[int(at[3:])] = value
    return bytes(body)


def test_info():
    info = Info.from_body(info_body())
    assert info.board == "Raspberry Pi Pico"
    assert info.has_model
    assert not info.mapped
    assert info.weights == WriteErrors(9, FLIP, 0, 1).weights_digest()
    assert (info.kernel, info.chunk, info.credit) == ("viper", 238, 0)


def test_a_terminal_is_not_harmed_by_what_a_board_calls_itself():
    assert Info.from_body(info_body(at_76=0x1B, at_77=0xFF)).board == "?\ufffdspberry Pi Pico"


@pytest.mark.parametrize(
    "changes", [{"at_3": 1}, {"at_2": 9}, {"at_4": 0}, {"at_4": 239}, {"at_6": 1}]
)
def test_info_that_makes_no_sense(changes):
    with pytest.raises(ProtocolError, match=r"^INFO"):
        Info.from_body(info_body(**changes))


@pytest.mark.parametrize("body", [b"", b"\x01", bytes(300)])
def test_info_of_a_wrong_length(body):
    with pytest.raises(ProtocolError):
        Info.from_body(body)


def test_what_a_device_says_is_shown_as_one_printable_line():
    error, seq = device_error(bytes([m.UNUSABLE, 9]) + b"two\nlines\x1b[2J \xff")
    assert seq == 9
    assert str(error) == "the device says: two?lines?[2J \ufffd"
    assert isinstance(device_error(bytes([99, 0]) + b"?")[0], ProtocolError)


FORBIDDEN = {"eval", "exec", "compile", "execfile", "pickle", "marshal", "shelve", "dill", "joblib"}


@pytest.mark.parametrize(
    "folder", ["firmware/micropython/lib", "host/mtjkit_host", "export/mtjkit_export"]
)
def test_nothing_that_comes_in_is_executed(folder):
    """Neither what a device is sent nor what a file holds; checkpoints carry no pickle."""
    files = sorted((ROOT / folder).rglob("*.py"))
    assert len(files) > 5
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                module = getattr(node, "module", None) or ""
                ours = module.startswith("mtjkit_")  # a module of ours may be called compile
                names = [module, *(a.name for a in node.names if not ours)]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                names = [node.func.id]
            elif isinstance(node, ast.keyword):
                forbidden = node.arg == "allow_pickle" and ast.unparse(node.value) != "False"
                names = ["pickle"] if forbidden else []
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                names = ["pickle"] if (node.value.id, node.attr) == ("torch", "load") else []
            assert not FORBIDDEN.intersection(names), f"{file}:{node.lineno}"


def test_the_device_imports_by_name_only_its_own_kernels():
    found = []
    for file in sorted((ROOT / "firmware" / "micropython" / "lib").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "__import__":
                found.append(ast.unparse(node.args[0]))
    assert found == ["'mtjkit_device.kernels.' + one", "'mtjkit_device.kernels.' + name"]


@given(
    st.integers(0, 255),
    st.integers(0, 255),
    st.lists(st.sampled_from(b"\0\0\0\1\xff"), max_size=248),
)
def test_frames_are_those_of_the_reference_whatever_their_zeros(kind, seq, body):
    assert packed(kind, seq, bytes(body)) == pack(kind, seq, bytes(body))
