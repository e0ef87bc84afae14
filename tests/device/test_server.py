"""The server in a real MicroPython process, spoken to in raw messages."""

import binascii
import hashlib
import re
from pathlib import Path
from statistics import median

import networks
import numpy as np
import pytest
import records
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mtjkit_core import messages as m
from mtjkit_core.model import Model
from mtjkit_core.whole_frames import pack
from mtjkit_core.write_errors import FLIP, LIMITS_BYTES, WriteErrors, pack_limits, unpack_limits
from mtjkit_export import BinaryLayer, BinaryNet, encode
from mtjkit_host.boards.native_module import find_native
from mtjkit_host.boards.unix_port import UnixPort
from mtjkit_host.link.session import Session
from support.micropython import run_micropython

ROOT = Path(__file__).parents[2]
NAME = "pooled"


@pytest.fixture(scope="module")
def link(micropython):
    with UnixPort(micropython) as link:
        yield link


def ask(link, message, *values, data=b""):
    """Send a message and return the frames that answer it."""
    link.send(message.kind, message.pack(*values, data=data))
    return replies(link)


def replies(link):
    """The frames that are on their way: all before the answer to a HELLO."""
    # Behind zeros: the server waits for the rest of a chunk that is shorter than its place.
    link.repeat(m.HELLO.kind, m.HELLO.pack(m.MAGIC, m.VERSION))
    frames = []
    while frame := link.receive(30):
        if frame.kind == m.INFO.kind:
            return frames
        frames.append(frame)
    pytest.fail("the server does not answer any more")


def error_of(frames):
    [frame] = [f for f in frames if f.kind == m.ERROR.kind]
    code, _, text = m.ERROR.unpack(frame.body)
    return code, text.decode()


def chunks(content):
    return [(at, content[at : at + m.CHUNK]) for at in range(0, len(content), m.CHUNK)]


def greet(link):
    # Behind zeros: the server may wait for the rest of a frame that was cut short.
    link.repeat(m.HELLO.kind, m.HELLO.pack(m.MAGIC, m.VERSION))
    while frame := link.receive(30):
        if frame.kind == m.INFO.kind:
            return m.INFO.unpack(frame.body)
    pytest.fail("the server does not answer any more")


def load(link, model):
    greet(link)
    ask(link, m.MODEL_BEGIN, len(model), 0, hashlib.sha256(model).digest())
    for at, part in chunks(model):
        link.send(m.MODEL_DATA.kind, m.MODEL_DATA.pack(at, data=part))
    return ask(link, m.MODEL_END)


def prepare(link, run=1):
    model = bytes(networks.build(NAME))
    assert [f.kind for f in load(link, model)] == [m.DONE.kind]
    [answer] = ask(link, m.CONFIGURE, run, *[0] * 10)
    assert answer.kind == m.CONFIGURED.kind
    return Model(model)


def test_hello_tells_the_version_first(link):
    info = greet(link)
    assert info[0] == m.VERSION
    assert (info.reserved, info.chunk, info.credit) == (0, m.CHUNK, 0)


@pytest.mark.parametrize("version", [0, 1, 4, 255])
def test_a_host_of_another_version_is_refused_by_name(link, version):
    prepare(link)
    link.repeat(m.HELLO.kind, m.HELLO.pack(m.MAGIC, version, data=b"later"))
    frame = link.receive(30)
    code, _, text = m.ERROR.unpack(frame.body)
    assert code == m.WRONG_VERSION
    assert f"the host speaks protocol version {version}, this firmware speaks 2" in text.decode()
    link.send(m.QUERY.kind, m.QUERY.pack(0, 0))  # nor is it served
    assert m.ERROR.unpack(link.receive(30).body).code == m.NOT_READY
    greet(link)


def test_an_image_sent_twice_is_computed_once(link):
    prepare(link)
    image = networks.image(NAME, 1)
    for _ in range(2):
        for at, part in chunks(image):
            link.send(m.IMAGE_DATA.kind, m.IMAGE_DATA.pack(7, at, 0, data=part))
    [result] = replies(link)
    assert result.kind == m.RESULT.kind
    [again] = ask(link, m.QUERY, 7, 0)
    assert again.body == result.body  # the time it took included: it was not computed anew


def test_chunks_in_any_order_and_a_question_what_is_missing(link):
    model = prepare(link, run=2)
    size = len(networks.image(NAME, 1))
    parts = chunks(networks.image(NAME, 1))
    for at, part in parts[:0:-1]:
        link.send(m.IMAGE_DATA.kind, m.IMAGE_DATA.pack(3, at, 1, data=part))
    [missing] = ask(link, m.QUERY, 3, 1)
    assert m.MISSING.unpack(missing.body) == (3, 0, len(parts[0][1]))
    [missing] = ask(link, m.QUERY, 4, 1)
    assert m.MISSING.unpack(missing.body) == (4, 0, size)
    [result] = ask(link, m.IMAGE_DATA, 3, 0, 1, data=parts[0][1])
    assert m.RESULT.unpack(result.body)[:3] == (3, 0, model.classes)


def test_lost_numbers_are_told(link):
    greet(link)
    before = link.send(m.PING.kind, b"")[0]
    link.seq = (before + 4) & 255
    frames = ask(link, m.PING)
    assert m.LOST.unpack(frames[0].body) == ((before + 1) & 255, 3)


def test_a_late_copy_of_a_request_does_nothing(link):
    prepare(link, run=3)
    configure = m.CONFIGURE.pack(run=4)
    link.send(m.PING.kind, b"")
    link.write(pack(m.CONFIGURE.kind, (link.seq - 3) & 255, configure))
    link.write(pack(m.MODEL_BEGIN.kind, (link.seq - 2) & 255, m.MODEL_BEGIN.pack(1, 0, bytes(32))))
    assert replies(link) == []
    [missing] = ask(link, m.QUERY, 0, 0)  # still configured
    assert missing.kind == m.MISSING.kind


def limits(*pairs):
    return pack_limits(pairs)


def configure_with_limits(link, run, maps, weights=b"", kind=0, **changed):
    fields = {
        "run": run,
        "kind": kind,
        "map_layers": len(maps) // LIMITS_BYTES,
        "weight_layers": len(weights) // LIMITS_BYTES,
        "crc": binascii.crc32(maps + weights),
    }
    link.send(m.CONFIGURE.kind, m.CONFIGURE.pack(**{**fields, **changed}))
    return replies(link)


def test_limits_by_layer_come_before_their_configuration(link):
    model = prepare(link, run=6)
    maps = limits((1, 2), (3, 4), (5, 1 << 32))
    weights = limits((0, 0), (0, 1 << 31), (0, 0), (7, 7))
    # Not there yet, and there in part.
    for _ in range(2):
        code, text = error_of(configure_with_limits(link, 7, maps, weights))
        assert (code, "WRITE_ERRORS" in text) == (m.NOT_READY, True)
        [done] = ask(link, m.WRITE_ERRORS, 7, m.MAP_LIMITS, 1, 2, 0, data=maps[16:])
        assert done.kind == m.DONE.kind
    ask(link, m.WRITE_ERRORS, 7, m.MAP_LIMITS, 0, 1, 0, data=maps[:16])
    ask(link, m.WRITE_ERRORS, 7, m.MAP_LIMITS, 0, 1, 0, data=maps[:16])  # again changes nothing
    ask(link, m.WRITE_ERRORS, 7, m.WEIGHT_LIMITS, 0, 4, 0, data=weights)
    # Those of another run do not count.
    assert error_of(configure_with_limits(link, 8, maps, weights))[0] == m.NOT_READY
    [answer] = configure_with_limits(link, 7, maps, weights)
    done = m.CONFIGURED.unpack(answer.body)
    assert (done.run, done.written) == (7, model.weight_bits)
    assert done.wrong > 0
    info = greet(link)
    assert info.flags & m.PROGRAMMED
    errors = WriteErrors(0, FLIP, 0, unpack_limits(weights))
    assert info.weights == errors.weights_digest()


def test_the_parts_of_a_chip_come_before_their_configuration(link):
    model = prepare(link, run=6)
    errors = records.random_errors(2, len(model.layers))
    parts = [b"", b"", *errors.parts()]

    def configure(run):
        crc = binascii.crc32(b"".join(parts))
        body = m.CONFIGURE.pack(run=run, seed=errors.seed, kind=m.CHIP | errors.kind, crc=crc)
        link.send(m.CONFIGURE.kind, body)
        return replies(link)

    assert error_of(configure(17))[0] == m.NOT_READY
    for what, part in enumerate(parts):
        for at in range(0, len(part), 2 * LIMITS_BYTES):
            data = part[at : at + 2 * LIMITS_BYTES]
            head = (17, what, at // LIMITS_BYTES, len(data) // LIMITS_BYTES, 0)
            for _ in range(2):  # again changes nothing
                assert [f.kind for f in ask(link, m.WRITE_ERRORS, *head, data=data)] == [
                    m.DONE.kind
                ]
    assert error_of(configure(18))[0] == m.NOT_READY  # of another run
    [answer] = configure(17)
    assert answer.kind == m.CONFIGURED.kind, answer.body
    done = m.CONFIGURED.unpack(answer.body)
    assert (done.run, done.written) == (17, model.weight_bits)
    assert done.wrong > 0
    assert greet(link).weights == errors.weights_digest()


def test_limits_of_too_few_layers(link):
    prepare(link, run=6)
    maps = limits((1, 2), (3, 4), (5, 6))
    ask(link, m.WRITE_ERRORS, 9, m.MAP_LIMITS, 0, 3, 0, data=maps)
    code, text = error_of(configure_with_limits(link, 9, maps, map_layers=2))
    assert (code, "fail limits of 2 layers" in text) == (m.UNUSABLE, True)
    assert [f.kind for f in configure_with_limits(link, 9, maps)] == [m.CONFIGURED.kind]


def test_a_model_with_another_hash(link):
    model = bytes(networks.build(NAME))
    greet(link)
    ask(link, m.MODEL_BEGIN, len(model), 0, bytes(32))
    for at, part in chunks(model):
        link.send(m.MODEL_DATA.kind, m.MODEL_DATA.pack(at, data=part))
    assert error_of(ask(link, m.MODEL_END)) == (
        m.BAD_MODEL,
        "the model arrived damaged: its SHA-256 differs",
    )


def test_bytes_that_are_no_model(link):
    for size in (0, 1, 500):
        code, text = error_of(load(link, b"x" * size))
        assert code == m.BAD_MODEL
        assert "MTJB" in text


def test_a_model_with_a_hole_is_asked_for(link):
    model = bytes(networks.build(NAME))
    greet(link)
    ask(link, m.MODEL_BEGIN, len(model), 0, hashlib.sha256(model).digest())
    for at, part in chunks(model)[:2]:
        link.send(m.MODEL_DATA.kind, m.MODEL_DATA.pack(at, data=part))
    [missing] = ask(link, m.MODEL_END)
    hole = (m.THE_MODEL, 2 * m.CHUNK, len(model) - 2 * m.CHUNK)
    assert m.MISSING.unpack(missing.body) == hole


def test_a_model_larger_than_any_memory(link):
    greet(link)
    for size, work in ((0xFFFFFFFF, 0), (0, 0xFFFFFFFF), (1 << 26, 1 << 26)):
        code, text = error_of(ask(link, m.MODEL_BEGIN, size, work, bytes(32)))
        assert code == m.TOO_LARGE
        assert str(size + work) in text


@pytest.mark.parametrize(
    ("message", "values", "data"),
    [
        (m.IMAGE_DATA, (0, 1, 0), b"x" * m.CHUNK),
        (m.IMAGE_DATA, (0, 0, 0), b"x"),
        (m.IMAGE_DATA, (0, 0xFFFFFFF0, 0), b"x" * m.CHUNK),
        (m.IMAGE_DATA, (0, 0, 8), b"x" * m.CHUNK),
        (m.IMAGE_DATA, (1 << 30, 0, 0), b"x" * m.CHUNK),
        (m.QUERY, (0, 255), b""),
        (m.MODEL_DATA, (1,), b"x"),
        (m.HELLO, (b"XXXX", 1), b""),
        (m.CONFIGURE, (9, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0), b""),
        (m.CONFIGURE, (9, 0, 0, 200, 0, 0, 0, 0, 0, 0, 0), b""),
        (m.CONFIGURE, (9, 0, 0, 0, 0, 0, (1 << 32) + 1, 0, 0, 0, 0), b""),
        (m.CONFIGURE, (9, 0, 0, 0, 0, 0, 0, (1 << 32) + 1, 0, 0, 0), b""),
        (m.CONFIGURE, (9, 0, 0, 0, 0, 0, 0, 0, 1 << 63, 0, 0), b""),
        (m.CONFIGURE, (9, 0, 0, 0, 0, 0, 0, 0, 0, 1 << 63, 0), b""),
        (m.CONFIGURE, (9, *[0] * 10), b"x"),
        (m.WRITE_ERRORS, (9, 14, 0, 1, 0), bytes(16)),
        (m.WRITE_ERRORS, (9, 2, 1, 1, 0), bytes(16)),
        (m.WRITE_ERRORS, (9, 4, 0, 1, 1), bytes(16)),
        (m.WRITE_ERRORS, (9, 12, 0, 2, 0), bytes(16)),
        (m.WRITE_ERRORS, (9, 2, 0, 5, 0), bytes(80)),
        (m.WRITE_ERRORS, (9, 0, 0, 1, 1), bytes(16)),
        (m.WRITE_ERRORS, (9, 0, 0, 2, 0), bytes(16)),
        (m.WRITE_ERRORS, (9, 0, 0, 4, 0), bytes(64)),
        (m.WRITE_ERRORS, (9, 1, 1, 4, 0), bytes(64)),
        (m.Message(0x55, "UNKNOWN", "", ""), (), b""),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(link, message, values, data):
    prepare(link, run=5)
    if message is m.MODEL_DATA:
        ask(link, m.MODEL_BEGIN, 1000, 0, bytes(32))
    code, text = error_of(ask(link, message, *values, data=data))
    assert code in (m.BAD_REQUEST, m.UNUSABLE)
    assert text
    assert text.isprintable()


@example(m.HELLO.kind, b"\x03")
@given(st.integers(0, 255), st.binary(max_size=248))
@settings(max_examples=150, deadline=None)
def test_any_message_leaves_the_server_alive(link, kind, body):
    if kind == m.STOP.kind:
        return
    link.send(kind, body)
    greet(link)


@given(st.binary(max_size=600))
@settings(max_examples=100, deadline=None)
def test_any_bytes_leave_the_server_alive(link, garbage):
    """But Ctrl-C between two frames, which ends it."""
    link.write(re.sub(rb"(^|\0)(\r*)\x03", lambda found: found[0][:-1] + b"\4", garbage))
    link.repeat(m.PING.kind, b"")
    greet(link)


def test_ctrl_c_bytes_are_bytes(link):
    link.write(b"\0" + b"\x03" * 250 + b"\r\n\x04\x01\x11\x13" * 50)
    link.repeat(m.PING.kind, b"")
    greet(link)


@pytest.mark.usefixtures("micropython")
def test_no_allocation_between_images():
    native = find_native("x64")
    path = [native.parent] if native else []
    out = run_micropython("tests/device/memory_lock.py", path=path, heap="4M", timeout_s=60)
    # Two networks, seven pairs of rates, two kinds of errors, three images; each result is asked
    # for twice.
    kernels = ["native", "viper"] if native else ["viper"]
    assert out.splitlines() == [f"{kernel} 168 results" for kernel in kernels]


@pytest.mark.usefixtures("micropython")
def test_the_line_is_read_as_often_whatever_the_data():
    out = run_micropython("tests/device/line_reads.py", path=[ROOT / "tests" / "device"])
    # A zero, the least of any frame, the least of its kind, the rest.
    for line in out.splitlines():
        _, of_model, of_images = map(float, line.split())
        assert max(of_model, of_images) <= 4, out
    assert len(out.splitlines()) == 3


@pytest.mark.usefixtures("micropython")
def test_blocks_give_what_frames_give():
    out = run_micropython("tests/device/block_frames.py", path=[ROOT / "tests" / "device"])
    # A model and six images.
    assert out.strip() == "161 reads by frames, 47 by blocks"


def processor_ns(pid):
    """How long a process has computed, nanoseconds."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="no /proc/PID/schedstat")
def test_an_image_of_zeros_takes_as_long_as_any(micropython):
    layers = [
        BinaryLayer.conv(np.ones((1, 3, 1, 1), int), [0], pool=(32, 32)),
        BinaryLayer.dense(np.ones((2, 1), int)),
    ]
    model = encode(BinaryNet("small", layers, (32, 32, 3)))
    noise = np.random.default_rng(0).integers(-128, 128, (60, 32, 32, 3), np.int8)
    used = {"noise": [], "zeros": []}  # the device's time of a processor, nanoseconds
    port = UnixPort(micropython)
    with port as link:
        session = Session(link)
        session.program(model)
        for _ in range(12):
            for name, images in (("noise", noise), ("zeros", np.zeros_like(noise))):
                began = processor_ns(port.pid)
                session.run(images)
                used[name].append(processor_ns(port.pid) - began)
    assert median(used["zeros"]) <= 1.3 * median(used["noise"]), used
