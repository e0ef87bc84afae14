"""Frames on CPython and MicroPython alike; host/link/test_frames_cobs.py has the properties."""

from mtjkit_core import frames, whole_frames
from mtjkit_core.frames import BODY_AT, MAX_BODY, MAX_FRAME, Deframer, encode
from mtjkit_core.whole_frames import pack

# type 1, sequence number 0, body 01 00 00 ff: CRC-32 of 01 00 01 00 00 ff is 0xef20faee
LOCKED = bytes.fromhex("0201020101" + "06ffeefa20ef" + "00")


def bodies():
    yield b""
    yield b"\x01\x00\x00\xff"
    yield bytes(MAX_BODY)
    yield b"\xff" * MAX_BODY
    yield bytes([i & 255 for i in range(MAX_BODY)])


def collect(stream, step):
    deframer = Deframer()
    out = []
    for at in range(0, len(stream), step):
        out.extend(whole_frames.frames(deframer, stream[at : at + step]))
    return out, deframer.bad


def test_locked_bytes():
    assert pack(1, 0, b"\x01\x00\x00\xff") == LOCKED


def test_a_frame_is_eight_bytes_longer_than_its_body_and_ends_with_its_only_zero():
    for body in bodies():
        frame = pack(7, 200, body)
        assert len(frame) == len(body) + frames.OVERHEAD <= MAX_FRAME
        assert frame.find(b"\0") == len(frame) - 1


def test_frames_come_back_whatever_the_chunks():
    stream = b"".join([pack(i, 255 - i, body) for i, body in enumerate(bodies())])
    expected = [(i, 255 - i, body) for i, body in enumerate(bodies())]
    for step in (1, 2, 7, 255, 256, 4096):
        assert collect(stream, step) == (expected, 0)


def test_reading_what_is_wanted_reads_no_further_than_the_frame():
    for body in bodies():
        stream = pack(3, 4, body) + b"rest"
        deframer = Deframer()
        at = 0
        while deframer.body_size < 0:
            wanted = deframer.wanted()
            assert 1 <= wanted <= 255
            deframer.feed(stream, at, at + wanted)
            at += wanted
        assert stream[at:] == b"rest"
        assert deframer.body_size == len(body)
        assert bytes(deframer.frame[BODY_AT : BODY_AT + len(body)]) == body


def test_every_single_bit_flip_is_noticed_and_the_next_frame_is_read():
    frame = pack(9, 8, b"\x00abc\x00")
    after = pack(1, 2, b"next")
    for at in range(len(frame)):
        for bit in range(8):
            broken = bytearray(frame)
            broken[at] ^= 1 << bit
            out, bad = collect(bytes(broken) + b"\0" + after, 16)
            assert out == [(1, 2, b"next")]
            assert bad


def test_garbage_then_a_frame():
    frame = pack(5, 6, b"body")
    for garbage in (b"\xff" * 1000, b"\x01" * 300, b"MPY: soft reboot\r\n>>> ", b"\x00" * 9):
        out, _ = collect(garbage + b"\0" + frame, 100)
        assert out == [(5, 6, b"body")]


def test_too_long_a_frame_is_dropped_and_no_byte_more_is_kept():
    deframer = Deframer()
    for _ in range(50):
        deframer.feed(b"\xff" * 100, 0, 100)
        assert len(deframer.frame) == MAX_FRAME
        assert 1 <= deframer.wanted() <= 255
    assert list(whole_frames.frames(deframer, b"\0" + pack(1, 1, b"x"))) == [(1, 1, b"x")]
    assert deframer.bad == 1


def test_numbers_are_read_in_a_stuffed_frame():
    for number in (0, 1, 0x55, 0x100, 0x10203, 0x30000, 0xFFFFFF):
        body = b"\0\7\0" + bytes([number >> shift & 255 for shift in (0, 8, 16, 24)]) + b"\0\1"
        assert frames.peek(pack(1, 0, body), BODY_AT + 3) == number
    assert frames.peek(pack(1, 0, b"\1\2\3\1"), BODY_AT) == -1


def test_pack_is_encode():
    for body in list(bodies()) + [b"\0a\0\0bc\0", bytes(range(200)), b"\1" * MAX_BODY]:
        frame = bytearray(MAX_FRAME)
        frame[1:BODY_AT] = b"\5\0"
        frame[BODY_AT : BODY_AT + len(body)] = body
        assert pack(5, 0, body) == bytes(frame[: encode(frame, len(body))])


def test_the_shortest_frames():
    assert collect(b"\0\0\x01\0\x02\x01\0", 3) == ([], 2)
    assert collect(pack(0, 0), 1) == ([(0, 0, b"")], 0)


def test_encode_works_in_place():
    frame = bytearray(b"\xaa" * MAX_FRAME)
    frame[1:BODY_AT] = b"\x01\x00"
    frame[BODY_AT : BODY_AT + 4] = b"\x01\x00\x00\xff"
    size = encode(frame, 4)
    assert bytes(frame[:size]) == LOCKED


def test_too_long_a_body_is_refused():
    try:
        pack(1, 1, bytes(MAX_BODY + 1))
    except ValueError:
        return
    raise AssertionError("no error")
