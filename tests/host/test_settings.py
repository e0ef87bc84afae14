"""Texts as editors write them, on Windows too."""

import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_host.settings import decode_text, parse_table, read_text


@pytest.mark.parametrize("code", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path, code):
    (tmp_path / "mine.toml").write_bytes("tau_ns = 12.0  # µs\r\n".encode(code))
    assert parse_table(read_text(tmp_path / "mine.toml", "x"), "x") == {"tau_ns": 12.0}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("a = 1\n# µs".encode("latin-1"), r"x: not UTF-8 text \(line 2\); save it as UTF-8"),
        (b"\xff\xfea", r"x: not UTF-8 text"),
        (b"\x00\x01", "x: not a text file"),
        ("a = 1".encode("utf-16-le"), "x: not a text file"),
    ],
)
def test_another_code_is_named_with_its_line(data, why):
    with pytest.raises(ConfigError, match=why):
        decode_text(data, "x")


def test_half_of_a_surrogate_pair_is_no_letter():
    assert parse_table(r'{"name": "\ud83d\ude00"}', "x", "JSON") == {"name": "\U0001f600"}
    for text in (r'{"name": "\ud800"}', r'{"\udc00": [1]}', r'{"a": {"b": ["\ude00\ud83d"]}}'):
        with pytest.raises(ConfigError, match=r"x: not valid JSON .*half of a surrogate pair"):
            parse_table(text, "x", "JSON")
