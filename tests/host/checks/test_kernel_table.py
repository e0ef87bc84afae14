"""The table of kernels in the pages is what docs/bench.json says."""

import json

import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_host.checks import kernel_table
from mtjkit_host.checks.kernel_table import NUMBERS, PAGES, read, table_of, update, with_table

MARKS = f"one\n{kernel_table._BEGIN}\n| old |\n{kernel_table._END}\ntwo\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pages_show_the_kept_numbers(page):
    text = page.read_text()
    assert with_table(text, table_of(read(NUMBERS)), page.name) == text


def test_a_row_has_a_cell_for_each_kind_of_kernel():
    unit = "instructions_per_32_macs"
    device = {
        "unix": {"native": {"ms_per_image": 1.9}},
        "virt-rv32": {"viper": {unit: 50.55}, "asm_rv32": {unit: 11.05}},
        "pico": {"native": {"cycles_per_32_macs": 18.04, "peak_heap_bytes": 1}},
    }
    assert table_of(device)[2:] == [
        "| Raspberry Pi Pico | cycles | 18.0 |  |  |",
        "| RISC-V virt, rv32imc | instructions |  | 11.1 | 50.5 |",
    ]


def test_new_numbers_replace_kept_ones(tmp_path, monkeypatch):
    page, kept, new = tmp_path / "page.md", tmp_path / "kept.json", tmp_path / "new.json"
    page.write_text(MARKS)
    numbers = [{"cycles_per_32_macs": value} for value in (20, 18, 50)]
    kept.write_text(json.dumps({"device": {"pico": {"native": numbers[0], "viper": numbers[2]}}}))
    new.write_text(json.dumps({"twin": {}, "device": {"pico": {"native": numbers[1]}}}))
    monkeypatch.setattr(kernel_table, "NUMBERS", kept)
    monkeypatch.setattr(kernel_table, "PAGES", (page,))
    table = update([str(new)])
    assert table[-1] == "| Raspberry Pi Pico | cycles | 18.0 |  | 50.0 |"
    assert page.read_text() == MARKS.replace("| old |", "\n" + "\n".join(table) + "\n")
    assert read(kept) == {"pico": {"native": numbers[1], "viper": numbers[2]}}


WRONG = ("", "[]", "{}", '{"device": []}', '{"device": {"pico": 3}}', '{"device": {"moon": {}}}')


@pytest.mark.parametrize("text", [*WRONG, '{"device": {"pico": {"native": {"unit": "x"}}}}'])
def test_other_files_are_refused_by_name(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"other\.json"):
        read(path)


@pytest.mark.parametrize("text", ["", MARKS + MARKS, MARKS.replace("<!-- /", "<!-- ")])
def test_a_page_without_marks_is_refused_by_name(text):
    with pytest.raises(ConfigError, match="README"):
        with_table(text, [], "README.md")
