"""Energy of a run: its counts times the scheme's coefficients, by direction, with what it names."""

import pytest
from mtjkit_core.write_errors import fail_limit
from mtjkit_host.mtj.cell import Cell
from mtjkit_host.mtj.cell_file import load_cell
from mtjkit_host.mtj.scheme import Pulses
from mtjkit_host.mtj.schemes import Fixed, parse_scheme
from mtjkit_host.runs.energy import RunEnergy
from mtjkit_host.runs.options import EXPECTED
from mtjkit_host.runs.parse_options import parse_options
from mtjkit_host.runs.result import tables
from mtjkit_host.runs.run import run_twin
from rich.console import Console

COUNTS = (1000, 467, 24, 480, 370)
"""Written, toggled, wrong, ones written, up toggled: 97 bits go down."""


def energy(scheme="fixed", cell=None, pulse=None, counts=COUNTS):
    cell = cell or Cell()
    pulse = cell.pulse_width_ns(0.024) if pulse is None else pulse
    return RunEnergy(cell, parse_scheme(scheme), Pulses(pulse, pulse), counts)


def printed(result):
    console = Console(width=120, record=True)
    with console.capture() as text:
        console.print(*tables(result))
    return text.get()


def test_a_fixed_pulse_of_the_paper_s_cell_costs_the_same_for_every_bit():
    one = energy()
    assert one.per_bit_pj == pytest.approx(8.942332, abs=1e-6)
    assert one.total_pj == 1000 * one.per_bit_pj
    assert one.saving_percent == pytest.approx(79.7526, abs=1e-4)
    assert one.reference_per_bit_pj == pytest.approx(44.165424, abs=1e-6)


def test_a_constant_voltage_costs_by_direction():
    # The cell: 1.08 V on 7.2 and 14.4 kOhm. Up: P before it has switched is twice that after.
    cell = load_cell("asano2024-voltage")
    one = energy(cell=cell)
    up, down = 5.641195, 7.772303
    stay_1 = 55.199581 * 1.08**2 / 14.4  # V^2 / kOhm is mW, and mW ns is pJ
    stay_0 = 55.199581 * 1.08**2 / 7.2
    expected = 370 * up + 97 * down + (480 - 370) * stay_1 + (520 - 97) * stay_0
    assert one.total_pj == pytest.approx(expected, rel=1e-6)
    assert one.per_bit_pj == pytest.approx(expected / 1000, rel=1e-6)


def test_read_before_write_pays_for_bits_that_toggle_and_says_what_erasing_adds():
    one = energy("differential")
    pulse = 8.942332
    assert one.per_bit_pj == pytest.approx(0.467 * pulse, rel=1e-6)
    assert one.erased_share == pytest.approx(0.370 - 0.097)
    assert one.with_erasing_pj == pytest.approx((0.467 + 0.273) * pulse, rel=1e-6)
    assert one.steady_pj == pytest.approx(0.5 * pulse, rel=1e-6)


def test_a_run_in_steady_reuse_pays_for_what_it_toggled_and_nothing_for_erasing():
    # 1000 written, 490 toggled, 480 ones, 236 up: counted over random bits.
    counts = (1000, 490, 40, 480, 236)
    one = RunEnergy(Cell(), parse_scheme("differential"), Pulses(55.2, 55.2), counts, reused=True)
    assert one.erased_share == 0
    assert one.per_bit_pj == one.with_erasing_pj == one.steady_pj == pytest.approx(0.49 * 8.9424)
    assert one.saving_percent == one.with_erasing_percent == one.steady_percent


def test_nothing_written_costs_nothing():
    assert energy(counts=(0, 0, 0, 0, 0)).total_pj == 0


@pytest.mark.parametrize("scheme", ["fixed", "directions", "retry:3", "terminated"])
def test_limits_of_a_cell_with_unequal_directions_follow_from_its_pulses(scheme):
    o = parse_options(cell="asano2024-voltage", scheme=scheme, ber="0.05", weight_ber="0.01")
    down, up = o.write_scheme.rates(o.cell, o.pulses, EXPECTED)
    assert o.write_errors.limits == ((fail_limit(down), fail_limit(up)),) or down == up
    assert (down + up) / 2 == pytest.approx(0.05, rel=1e-6)
    assert o.write_errors.weights_fail


def test_unequal_cells_fail_by_direction_in_a_run(tmp_path):
    cell = tmp_path / "uneven.toml"
    cell.write_text(
        "[write]\ntau_ns = 14.8\ncurrent_ua = 150\nvoltage_v = 1.08\n"
        "[write.down]\ntau_ns = 7.4\ncurrent_ua = 100\n"
    )
    o = parse_options(cell=cell, images="4", ber="0.05")
    ((down, up),) = o.write_errors.limits
    # exp(-t/7.4) = exp(-t/14.8)**2: with x + x^2 = 0.1, x = 0.0916.
    assert up / 2**32 == pytest.approx(0.0916080, abs=1e-6)
    assert down / 2**32 == pytest.approx(0.0916080**2, abs=1e-6)
    result = run_twin(o)
    values = result.to_json()
    assert values["buffer"]["limits_used"] == [[down, up]]
    assert values["buffer"]["write_error_rate"] == 0.05
    ones = values["bits"]["ones_written"]
    expected = ones * up / 2**32 + (values["bits"]["written"] - ones) * down / 2**32
    assert abs(values["bits"]["wrong"] - expected) < 5 * expected**0.5
    t = values["buffer"]["pulse_ns"] * 1e-3
    zeros = values["bits"]["written"] - ones
    assert values["energy"]["total_pj"] == pytest.approx(
        t * 1.08 * (150 * ones + 100 * zeros), rel=1e-9
    )


def test_a_saving_names_cell_scheme_and_toggle_share_and_near_chance_what_it_is_worth():
    result = run_twin(parse_options(images="100", scheme="differential", errors="keep", ber="0.9"))
    text = printed(result)
    assert "near chance (10 %)" in text
    assert "differential" in text
    assert "read_pj 0, read_ns 0" in text
    assert "erasing paid / steady reuse" in text
    values = result.to_json()
    assert values["near_chance"] is True
    assert values["energy"]["overheads"] == {"read_pj": 0.0, "read_ns": 0.0}
    good = run_twin(parse_options(images="40", scheme="terminated", ber="0.01"))
    assert good.near_chance is False
    assert good.saving_percent > 95


def test_a_doubtful_cell_warns_in_a_run_and_one_without_power_has_no_energy(tmp_path):
    cell = tmp_path / "slow.toml"
    cell.write_text('[write]\nmodel = "thermal"\ndelta = 60\ni = 0.9\ntau0_ns = 1.0\n')
    result = run_twin(parse_options(images="2", cell=cell))
    assert result.warnings
    assert "warning" in printed(result)
    assert result.to_json()["warnings"] == result.warnings
    assert result.energy_per_bit_pj is None
    assert result.saving_percent is not None


def test_the_fixed_pulse_is_what_a_run_without_a_scheme_has():
    assert isinstance(parse_options().write_scheme, Fixed)
