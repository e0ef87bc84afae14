"""A chip's fail limits and disturb limits from a cell; and runs with them, on twin and device."""

import json

import pytest
from mtjkit_core.chip_errors import RANDOM, ChipErrors
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.write_errors import CERTAIN, KEEP, WriteErrors
from mtjkit_host.mtj.cell_file import cell_from_table, load_cell
from mtjkit_host.mtj.chip import class_limits, disturb_rates, resolution_doubts
from mtjkit_host.mtj.scheme import Pulses, Traffic
from mtjkit_host.mtj.schemes import Fixed
from mtjkit_host.runs.fleet_run import run_unix
from mtjkit_host.runs.parse_options import options_from_json, parse_options
from mtjkit_host.runs.result import tables
from mtjkit_host.runs.run import run_twin
from rich.console import Console

SPREAD = "asano2024-spread"  # sigma of ln tau 0.3
READ = {
    "write": {"tau_ns": 14.8},
    "read": {"i": 0.5, "pulse_ns": 50.0, "delta": 60, "t_d_ns": 1.0},
}


def test_the_classes_of_the_reference_table():
    # Gauss-Legendre over each quarter; the mean of the four is the population's 2.4 %.
    limits = class_limits(load_cell(SPREAD), Fixed(), Pulses(62.03793, 62.03793), Traffic.even())
    expected = (11941394, 43475459, 97532942, 259367065)
    for (down, up), limit in zip(limits, expected, strict=True):
        assert down == up
        assert abs(up - limit) <= 2e-6 * limit + 5
    mean = sum(up for _, up in limits) / 4 / CERTAIN
    assert mean == pytest.approx(0.024, rel=1e-6)


def test_two_classes_are_pairs_of_four():
    cell = cell_from_table({"write": {"tau_ns": 14.8}, "variation": {"sigma_ln_tau": 0.3}})
    two = cell_from_table(
        {"write": {"tau_ns": 14.8}, "variation": {"sigma_ln_tau": 0.3, "classes": 2}}
    )
    four = [up for _, up in class_limits(cell, Fixed(), Pulses(60, 60), Traffic.even())]
    found = [up for _, up in class_limits(two, Fixed(), Pulses(60, 60), Traffic.even())]
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert abs(found[0] - (four[0] + four[1]) / 2) <= 1e-6 * found[0]
    assert abs(found[2] - (four[2] + four[3]) / 2) <= 1e-6 * found[2]


def test_a_read_pushes_one_way_and_retention_takes_both():
    zero, one = disturb_rates(cell_from_table(READ), 1)
    assert zero == 0
    assert one == pytest.approx(1.97613e-5, rel=2e-3)  # the exact value at i = 0.5, 50 t_d
    assert disturb_rates(cell_from_table(READ), 9)[1] == pytest.approx(9 * one, rel=1e-3)
    up = cell_from_table({**READ, "read": {**READ["read"], "direction": "up"}})
    assert disturb_rates(up, 1) == (one, zero)
    held = {"delta": 25, "t_d_ns": 1.893204, "hold_ms": 1.0}
    both = disturb_rates(cell_from_table({**READ, "retention": held}), 1)
    assert both[0] == pytest.approx(1.983744e-5, rel=0.05)  # Brown: a few per cent at delta 25
    assert both[1] == pytest.approx(both[0] + one, rel=1e-4)


def test_what_the_memory_cannot_resolve_is_told():
    short = {**READ, "read": {**READ["read"], "i": 0.3, "pulse_ns": 5.0}}
    [word] = resolution_doubts("a disturb rate", disturb_rates(cell_from_table(short), 1))
    assert "7.7e-14" in word
    assert "2.3e-10" in word
    assert not resolution_doubts("a disturb rate", disturb_rates(cell_from_table(READ), 1))


def test_options_make_the_process():
    plain = parse_options(cell=SPREAD)
    assert type(plain.write_errors) is WriteErrors
    on = parse_options(cell=SPREAD, chip="7", seed="3", weight_error_rate="0.01")
    errors = on.write_errors
    assert isinstance(errors, ChipErrors)
    assert (errors.seed, errors.chip) == (3, 7)
    means = [sum(classes[0][1] for classes in some) / 4 for some in on.class_limits]
    assert means[0] == pytest.approx(0.024 * CERTAIN, rel=1e-6)
    assert means[1] == pytest.approx(0.01 * CERTAIN, rel=1e-6)
    assert options_from_json(json.loads(json.dumps(on.to_json())), "x") == on


def test_cells_are_erased_unless_a_run_says_otherwise():
    assert parse_options(errors="keep", cells_before="erased").write_errors.plain
    on = parse_options(errors="keep", seed="3", weight_error_rate="0.01", cells_before="random")
    off = on.mean_errors
    expected = ChipErrors(3, KEEP, off.limits, off.weight_limits, before=RANDOM)
    assert on.write_errors == expected
    values = on.to_json()
    assert options_from_json(json.loads(json.dumps(values)), "x") == on
    del values["cells_before"]  # a run file of an older version
    assert options_from_json(values, "x").cells_before == "erased"
    values["cells_before"] = 1
    with pytest.raises(FormatError, match="cells_before is one of"):
        options_from_json(values, "x")


def test_a_cell_file_may_name_its_chip(tmp_path):
    file = tmp_path / "cell.toml"
    file.write_text("[write]\ntau_ns = 14.8\n[variation]\nsigma_ln_tau = 0.3\nchip = 9\n")
    assert parse_options(cell=file).chip == 9
    assert parse_options(cell=file, chip=4).chip == 4


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"chip": "7"}, "no \\[variation\\] sigma_ln_tau"),
        ({"chip": "x", "cell": SPREAD}, "--chip"),
        ({"disturb": "1"}, "neither \\[retention\\] nor \\[read\\]"),
        ({"disturb": "-1"}, "--disturb"),
        ({"cells_before": "0"}, "--cells-before is one of erased, random"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(options, word):
    with pytest.raises(ConfigError, match=word):
        parse_options(**options)


def test_other_numbers_of_classes_are_refused(tmp_path):
    file = tmp_path / "cell.toml"
    file.write_text("[write]\ntau_ns = 14.8\n[variation]\nsigma_ln_tau = 0.3\nclasses = 8\n")
    with pytest.raises(ConfigError, match="4 classes of cells, or 2, or 1"):
        parse_options(cell=file, chip=1)


def test_a_run_on_a_chip_is_the_same_on_twin_and_device(tmp_path, micropython):
    file = tmp_path / "cell.toml"
    file.write_text(
        "[write]\ntau_ns = 14.8\n[variation]\nsigma_ln_tau = 0.3\n"
        "[read]\ni = 0.6\npulse_ns = 100\ndelta = 50\nt_d_ns = 1\n"
    )
    options = parse_options(
        cell=file, chip="7", disturb="3", images="2", errors="keep", cells_before="random"
    )
    twin, device = run_twin(options), run_unix(options)
    assert (twin.scores == device.scores).all()
    assert twin.bits == device.bits
    values = twin.to_json()
    assert values["chip"]["seed"] == 7
    assert len(values["chip"]["class_limits"]) == 4
    assert values["disturb"]["reads"] == 3
    assert values["cells_before"] == "random"
    assert values["buffer"]["limits_used"] == [list(options.mean_errors.limits[0])]
    console = Console(width=120)
    with console.capture() as shown:
        console.print(*tables(twin))
    assert "chip 7, 0.278 % (fastest class) to 6.04 % (slowest)" in shown.get()
    assert "stored bits lost" in shown.get()
    assert "random bits: nothing is erased" in shown.get()
    other = run_twin(parse_options(cell=file, chip="8", disturb="3", images="2", errors="keep"))
    assert (other.scores != twin.scores).any()
