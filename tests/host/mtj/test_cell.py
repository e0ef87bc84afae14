"""The MTJ cell against the paper's numbers, and device files against bad input."""

import json
import math

import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_host.mtj.cell import REFERENCE_RATE, Cell, flat_cell
from mtjkit_host.mtj.cell_file import load_cell

TABLE_2 = [  # error rate %, energy pJ, saving %, as printed
    ("Binary", 2.40, "8.94", "79.8"),
    ("Binary_x3", 2.40, "8.94", "79.8"),
    ("Fxp8", 2.80, "8.57", "80.6"),
    ("Fxp16", 2.60, "8.75", "80.2"),
    ("Fxp32", 2.80, "8.57", "80.6"),
    ("Binary", 8.60, "5.88", "86.7"),
    ("Binary_x3", 8.20, "6.00", "86.4"),
    ("Fxp8", 8.20, "6.00", "86.4"),
    ("Fxp16", 7.20, "6.31", "85.7"),
    ("Fxp32", 7.40, "6.24", "85.9"),
]


@pytest.mark.parametrize(("net", "rate_percent", "energy", "saving"), TABLE_2)
def test_table_2_to_the_printed_digit(net, rate_percent, energy, saving):
    cell = Cell()
    pulse_ns = cell.pulse_width_ns(rate_percent / 100)
    assert f"{cell.write_energy_pj(pulse_ns):.2f}" == energy
    assert f"{cell.saving_percent(pulse_ns):.1f}" == saving


def test_fig_10_energy_falls_linearly_with_the_decades_of_the_rate():
    cell = Cell()
    decade_pj = 1.08 * 150e-6 * 14.8e-9 * math.log(10) * 1e12  # V I tau ln 10
    for k in range(80, -1, -1):  # 10^-8 ... 1
        energy_pj = cell.write_energy_pj(cell.pulse_width_ns(10 ** (-k / 10)))
        assert energy_pj == pytest.approx(decade_pj * k / 10, rel=1e-12, abs=1e-12)
    assert f"{cell.pulse_width_ns(REFERENCE_RATE):.1f}" == "272.6"
    assert f"{cell.reference_energy_pj:.3f}" == "44.165"


def test_rate_and_pulse_width_are_inverse_and_complete_eq_2():
    cell = flat_cell(tau_ns=3.3)
    for rate in (1.0, 0.5, 0.024, 1e-8, 1e-300):
        pulse_ns = cell.pulse_width_ns(rate)
        assert cell.error_rate(pulse_ns) == pytest.approx(rate, rel=1e-12)
        assert cell.switching_probability(pulse_ns) == pytest.approx(1 - rate, abs=1e-15)
    assert cell.pulse_width_ns(0) == math.inf
    assert math.copysign(1, cell.pulse_width_ns(1)) == 1  # 0, not -0


def test_a_device_file_sets_some_fields_and_leaves_the_rest(tmp_path):
    toml = tmp_path / "cell.toml"
    toml.write_text("# ours\ntau_ns = 10\n")
    assert load_cell(toml) == flat_cell(tau_ns=10.0)
    assert isinstance(load_cell(toml).to_json()["tau_ns"], float)
    same = tmp_path / "cell.json"
    same.write_text(json.dumps({"tau_ns": 2.5, "current_ua": 80, "voltage_v": 0.9}))
    assert load_cell(same) == flat_cell(tau_ns=2.5, current_ua=80.0, voltage_v=0.9)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.toml", "tau_ns = ", "not valid TOML"),
        ("a.json", "{", "not valid JSON"),
        ("a.json", "[" * 10_000, "not valid JSON"),
        ("a.json", "[" * 100_000, "longer than 16384 bytes"),
        ("a.toml", "tau_ns = 0x" + "f" * 900, "between"),
        ("a.toml", "tau_ns" + ".a" * 400 + " = 1", "must be a number"),
        ("a.toml", "tau_ns" + ".a" * 1000 + " = 1", "a line is longer"),
        ("a.json", "[1]", "not a table"),
        ("a.toml", "", "must set at least one of"),
        ("a.toml", "tau = 1", "'tau' is unknown"),
        ("a.toml", "tau_ns = 'long'", "must be a number"),
        ("a.toml", "tau_ns = true", "must be a number"),
        ("a.toml", "tau_ns = 0", "between"),
        ("a.toml", "tau_ns = nan", "between"),
        ("a.toml", "current_ua = inf", "between"),
        ("a.json", '{"voltage_v": 1' + "0" * 400 + "}", "between"),
        ("a.toml", "voltage_v = -1.08", "between"),
        ("a.toml", "\xff", "not valid TOML"),
    ],
)
def test_a_bad_device_file_ends_in_one_line(tmp_path, name, text, why):
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(ConfigError, match=why) as caught:
        load_cell(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_device_file_that_is_no_text_or_not_there(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        load_cell(tmp_path / "none.toml")
    binary = tmp_path / "b.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load_cell(binary)
