"""Message layouts, on CPython and MicroPython alike."""

from mtjkit_core import messages as m
from mtjkit_core.errors import ProtocolError
from mtjkit_core.frames import MAX_BODY

TO_DEVICE = (
    m.HELLO, m.CONFIGURE, m.MODEL_BEGIN, m.MODEL_DATA, m.MODEL_END, m.IMAGE_DATA, m.QUERY,
    m.PING, m.STOP,
)  # fmt: skip
TO_HOST = (m.INFO, m.CONFIGURED, m.DONE, m.RESULT, m.MISSING, m.LOST, m.ACK, m.ERROR)


def test_numbers_are_distinct_and_tell_the_direction():
    kinds = [message.kind for message in TO_DEVICE + TO_HOST]
    assert len(set(kinds)) == len(kinds)
    assert all(message.kind < 0x80 for message in TO_DEVICE)
    assert all(message.kind > 0x80 for message in TO_HOST)


def test_sizes_are_those_of_the_specification():
    assert [message.size for message in TO_DEVICE] == [5, 30, 40, 4, 0, 9, 5, 0, 0]
    assert [message.size for message in TO_HOST] == [104, 16, 1, 24, 12, 2, 1, 2]


def test_data_fit_a_frame():
    assert m.CHUNK + m.IMAGE_DATA.size <= MAX_BODY
    assert m.CHUNK + m.MODEL_DATA.size <= MAX_BODY
    assert m.MAX_TEXT + m.ERROR.size <= MAX_BODY
    assert m.SCORES_PER_RESULT * 4 + m.RESULT.size <= MAX_BODY


def test_fields_come_back():
    body = m.IMAGE_DATA.pack(7, 238, 3, data=b"pixels")
    assert body == bytes.fromhex("07000000" + "ee000000" + "03") + b"pixels"
    assert m.IMAGE_DATA.unpack(body) == (7, 238, 3, b"pixels")
    assert m.QUERY.unpack(m.QUERY.pack(0x3FFFFFFF, 1)) == (0x3FFFFFFF, 1)


def test_a_body_of_another_length_is_refused():
    for message in TO_DEVICE + TO_HOST:
        for size in range(MAX_BODY + 1):
            right = size == message.size or (message.tail and size > message.size)
            try:
                message.unpack(bytes(size))
                assert right
            except ProtocolError as error:
                assert not right
                assert message.name in str(error)


def test_u32():
    assert m.u32(b"\xff\x01\x02\x03\x04", 1) == 0x04030201
