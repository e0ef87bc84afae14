"""Message layouts, on CPython and MicroPython alike."""

from mtjkit_core import messages as m
from mtjkit_core.blocks import IMAGE_BLOCK, MODEL_BLOCK
from mtjkit_core.errors import ProtocolError
from mtjkit_core.frames import BODY_AT, MAX_BODY
from mtjkit_core.write_errors import LIMITS_BYTES

TO_DEVICE = (
    m.HELLO, m.CONFIGURE, m.MODEL_BEGIN, m.MODEL_DATA, m.MODEL_END, m.IMAGE_DATA, m.QUERY,
    m.PING, m.STOP, m.WRITE_ERRORS, IMAGE_BLOCK, MODEL_BLOCK,
)  # fmt: skip
TO_HOST = (m.INFO, m.CONFIGURED, m.DONE, m.RESULT, m.MISSING, m.LOST, m.ACK, m.ERROR)


def test_numbers_are_distinct_and_tell_the_direction():
    kinds = [message.kind for message in TO_DEVICE + TO_HOST]
    assert len(set(kinds)) == len(kinds)
    assert all(message.kind < 0x80 for message in TO_DEVICE)
    assert all(message.kind > 0x80 for message in TO_HOST)


def test_sizes_are_those_of_the_specification():
    assert [message.size for message in TO_DEVICE] == [5, 52, 40, 4, 0, 9, 5, 0, 0, 8, 9, 8]
    assert [message.size for message in TO_HOST] == [104, 16, 1, 32, 12, 2, 1, 2]


def test_data_fit_a_frame():
    assert m.CHUNK + m.IMAGE_DATA.size <= MAX_BODY
    assert m.CHUNK + m.MODEL_DATA.size <= MAX_BODY
    assert m.MAX_TEXT + m.ERROR.size <= MAX_BODY
    assert m.SCORES_PER_RESULT == 54
    assert m.SCORES_PER_RESULT * 4 + m.RESULT.size <= MAX_BODY
    assert m.LAYERS_PER_FRAME == 15
    assert m.LAYERS_PER_FRAME * LIMITS_BYTES + m.WRITE_ERRORS.size <= MAX_BODY


def test_fields_come_back():
    body = m.IMAGE_DATA.pack(7, 238, 3, data=b"pixels")
    assert body == bytes.fromhex("07000000" + "ee000000" + "03") + b"pixels"
    assert m.IMAGE_DATA.unpack(body) == (7, 238, 3, b"pixels")
    assert m.QUERY.unpack(m.QUERY.pack(0x3FFFFFFF, 1)) == (0x3FFFFFFF, 1)


def test_fields_have_names():
    fields = m.RESULT.unpack(m.RESULT.pack(index=7, classes=3, wrong=5, data=b"scores"))
    assert (fields.index, fields.first, fields.classes, fields.wrong) == (7, 0, 3, 5)
    assert fields.data == b"scores"
    assert fields == (7, 0, 3, 0, 0, 0, 5, 0, 0, b"scores")
    try:
        m.QUERY.pack(number_=1)
        raise AssertionError
    except KeyError:
        pass


def test_every_field_has_one_name():
    for message in TO_DEVICE + TO_HOST:
        values = message.unpack(bytes(message.size))
        assert len(values) == len(message.names) == len(set(message.names))
        assert message.pack(*values[: len(values) - message.tail]) == bytes(message.size)


def test_fields_are_where_they_are_said_to_be():
    assert m.IMAGE_DATA.at("index") == BODY_AT
    assert m.IMAGE_DATA.at("slot") == BODY_AT + 8
    assert m.IMAGE_DATA.at("data") == BODY_AT + 9
    assert m.INFO.at("weights") == BODY_AT + 48
    assert m.RESULT.at("data") == BODY_AT + m.RESULT.size


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
