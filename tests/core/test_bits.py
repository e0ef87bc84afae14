"""Packed bits; runs on CPython and MicroPython."""

from mtjkit_core import bits
from mtjkit_core.geometry import words_for


def test_a_run_starts_on_a_word():
    assert [words_for(n) for n in (1, 31, 32, 33, 64, 65)] == [1, 1, 1, 2, 2, 3]


def test_tail_mask_holds_the_valid_bits_of_the_last_word():
    assert bits.tail_mask(1) == 1
    assert bits.tail_mask(31) == 0x7FFFFFFF
    assert bits.tail_mask(32) == 0xFFFFFFFF
    assert bits.tail_mask(33) == 1
    assert bits.tail_mask(96) == 0xFFFFFFFF


def test_popcount():
    for word in (0, 1, 0x80000000, 0xFFFFFFFF, 0x12345678):
        assert bits.popcount(word) == bin(word).count("1")


def test_words_are_little_endian():
    data = bytearray(8)
    bits.store_word(data, 1, 0x81020304)
    assert data == b"\0\0\0\0\x04\x03\x02\x81"
    assert bits.load_word(data, 1) == 0x81020304


def test_mismatches_of_parts():
    assert bits.mismatches(b"\xff\x0f\x01", 1, b"\x00\xff\x03", 1, 2) == 4 + 1
    assert bits.mismatches(b"", 0, b"", 0, 0) == 0
