"""Properties of the frames, against the `cobs` package and any bytes at all."""

import zlib

from cobs import cobs
from hypothesis import given, settings
from hypothesis import strategies as st
from mtjkit_core.frames import MAX_BODY, MAX_FRAME, Deframer
from mtjkit_core.whole_frames import frames, pack

bodies = st.binary(max_size=MAX_BODY) | st.lists(
    st.sampled_from([0, 0, 1, 255]), max_size=MAX_BODY
).map(bytes)
byte = st.integers(0, 255)


def feed(stream: bytes, sizes: list[int]) -> tuple[list[tuple[int, int, bytes]], int]:
    deframer = Deframer()
    out = []
    at = i = 0
    while at < len(stream):
        size = sizes[i % len(sizes)]
        out.extend(frames(deframer, stream[at : at + size]))
        at += size
        i += 1
    return out, deframer.bad


@given(byte, byte, bodies)
def test_frames_are_cobs_of_the_content_and_its_crc(kind, seq, body):
    content = bytes([kind, seq]) + body
    content += zlib.crc32(content).to_bytes(4, "little")
    assert pack(kind, seq, body) == cobs.encode(content) + b"\0"


@given(
    st.lists(st.tuples(byte, byte, bodies), max_size=5), st.lists(st.integers(1, 300), min_size=1)
)
def test_frames_come_back_in_any_chunks(messages, sizes):
    stream = b"".join(pack(*message) for message in messages)
    assert feed(stream, sizes) == (messages, 0)


@given(st.binary(max_size=3000), st.lists(st.integers(1, 300), min_size=1))
@settings(max_examples=300)
def test_after_any_garbage_a_zero_brings_the_sides_together(garbage, sizes):
    out, _ = feed(garbage + b"\0" + pack(1, 2, b"after"), sizes)
    assert out[-1] == (1, 2, b"after")


@given(st.lists(byte, max_size=600).map(bytes), st.lists(st.integers(1, 300), min_size=1))
def test_wanted_never_asks_beyond_a_frame(stream, sizes):
    deframer = Deframer()
    at = i = 0
    while at < len(stream):
        wanted = deframer.wanted()
        assert 1 <= wanted <= 255
        assert len(deframer.frame) == MAX_FRAME
        at = deframer.feed(stream, at, min(len(stream), at + sizes[i % len(sizes)]))
        i += 1


@given(bodies, st.data())
def test_a_damaged_frame_never_passes_for_another(body, data):
    frame = bytearray(pack(1, 2, body))
    for _ in range(data.draw(st.integers(1, 3))):  # CRC-32 finds all errors of so few bits here
        frame[data.draw(st.integers(0, len(frame) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    out, _ = feed(bytes(frame) + b"\0", [64])
    assert out in ([], [(1, 2, body)])  # flips may cancel out
