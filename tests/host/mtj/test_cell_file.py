"""Cells as files: presets, every key, one line for each mistake; the commands about cells."""

import json

import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_host.mtj import command
from mtjkit_host.mtj.cell import Cell, Circuit
from mtjkit_host.mtj.cell_file import cell_from_table, load_cell, preset_names, read_cell_table
from mtjkit_host.mtj.fokker_planck import FokkerPlanck
from mtjkit_host.mtj.macrospin import critical_current_ua
from mtjkit_host.mtj.schemes import doubts, parse_scheme
from mtjkit_host.mtj.switching import Points, Tail, Thermal
from mtjkit_host.settings import parse_table

FULL = """
name = "mine"
source = "ours"
[write]
model = "fokker-planck"
delta = 40.0
ic0_ua = 50.0
alpha = 0.01
anisotropy_t = 0.3
current_ua = 75.0
voltage_v = 0.9
[write.down]
i = 2.0
"""


def test_the_paper_s_preset_is_the_default():
    assert load_cell("asano2024") == Cell()
    assert {**load_cell("asano2024").to_json()}.items() >= Cell().to_json().items()


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_a_cell_or_says_why_not(name):
    table, what, _ = read_cell_table(name)
    assert table["source"]
    assert table["verified"]
    if "stated" in table:
        with pytest.raises(ConfigError, match="states no error rate"):
            load_cell(name)
    else:
        cell = cell_from_table(table, what, name)
        assert cell.pulse_width_ns(0.024) > 0
        assert cell_from_table(json.loads(json.dumps(cell.to_json())), name=name) == cell


def test_what_follows_from_the_stated_numbers_of_arm_python():
    stated = read_cell_table("arm-python")[0]["stated"]
    # Slonczewski's asymmetry: eta = P from the parallel state, lambda^2 P from the other one.
    up = critical_current_ua(stated["delta"], stated["alpha"], stated["polarization"], 300.0)
    assert up == pytest.approx(stated["ic0_up_ua"], rel=1e-4)
    assert up / stated["lambda"] ** 2 == pytest.approx(stated["ic0_down_ua"], rel=1e-4)


def test_a_cell_without_a_model_is_shown_as_stated():
    table = command.show_cell("intel22ffl")
    assert table.title is not None
    assert "no model" in str(table.title)
    shown = [str(cell) for column in table.columns for cell in column.cells]
    assert "5e-07" in shown
    assert any("no saving follow" in text for text in shown)


@pytest.mark.parametrize(
    ("name", "tau"),
    [
        ("dong2018", 1.7214), ("jan2014", 0.2171), ("gf22fdx", 14.476), ("intel-l4", 2.1715),
        ("ibm2016", 0.4744), ("ibm2019", 0.079),
    ],
)  # fmt: skip
def test_derived_time_constants(name, tau):
    found = load_cell(name).up.switching
    assert isinstance(found, Tail)
    assert found.tau_ns == pytest.approx(tau, rel=6e-4)


def test_directions_models_and_sections():
    both = parse_table(FULL, "test")
    both |= {
        "circuit": {"monitor_pj": 0.1, "min_ns": 2},
        "read": {"i": 0.3, "pulse_ns": 5, "pj": 0.7},
        "retention": {"hold_ms": 1},
        "temperature": {"kelvin": 358.15},
    }
    cell = cell_from_table(both)
    assert isinstance(cell.up.switching, FokkerPlanck)
    assert (cell.up.switching.i, cell.down.switching.i) == (1.5, 2.0)
    assert cell.circuit == Circuit(read_pj=0.7, monitor_pj=0.1, min_ns=2)
    assert cell.retention.delta == cell.read.delta == 40
    at_room = cell_from_table({**both, "temperature": {}})
    assert cell.retention.error_rate(cell.temperature) > 10 * at_room.retention.error_rate(
        at_room.temperature
    )
    assert cell.read.disturb_rate(cell.temperature) > at_room.read.disturb_rate(at_room.temperature)
    assert at_room.read.disturb_rate(at_room.temperature) == pytest.approx(
        FokkerPlanck(40, 0.3, at_room.read.t_d_ns).switched(5.0)
    )
    assert any("temperature" in warning for warning in cell.warnings())


def test_other_models():
    thermal = cell_from_table({"write": {"model": "thermal", "delta": 60, "i": 0.8, "tau0_ns": 1}})
    assert thermal.up.switching == Thermal(60.0, 0.8, 1.0)
    points = cell_from_table({"write": {"model": "table", "points": [[5, 0.1], [9, 0.001]]}})
    assert points.up.switching == Points(((5.0, 0.1), (9.0, 0.001)))
    assert not points.has_power
    with pytest.raises(ConfigError, match="states no current"):
        points.write_energy_pj(5.0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("tau_ns = 1\n[write]\ntau_ns = 1", "stands beside"),
        ("write = 3", "write must be a table"),
        ("[write]", "give tau_ns|tau_ns is missing"),
        ("[write]\nmodel = 'magic'", "write.model is one of tail"),
        ("[write]\ntau_ns = 1\ntau = 2", "write.'tau' is unknown"),
        ("[write]\npulse_ns = 5", "together with error_rate"),
        ("[write]\nmodel = 'thermal'\ndelta = 60\ni = 1.2\ntau0_ns = 1", "write.i must lie"),
        ("[write]\nmodel = 'thermal'\ndelta = 60\ni = 0.5", "tau0_ns is missing"),
        ("[write]\nmodel = 'fokker-planck'\ndelta = 60\nt_d_ns = 1", "give i"),
        ("[write]\nmodel = 'fokker-planck'\ndelta = 60\ni = 1.5", "give t_d_ns"),
        ("[write]\nmodel = 'precessional'\ndelta = 60\ni = 0.5\nt_d_ns = 1", "write.i must lie"),
        ("[write]\nmodel = 'table'\npoints = []", "write.points must be a list"),
        ("[write]\nmodel = 'table'\npoints = [[1, 0.1], [1, 0.2]]", "must rise"),
        ("[write]\nmodel = 'table'\npoints = [[1]]", "not a pair"),
        ("[write]\ntau_ns = 1\nr_p_kohm = 2", "belong together"),
        ("[write]\ntau_ns = 1\nr_p_kohm = 2\nr_ap_kohm = 3", "constant voltage"),
        ("tau_ns = 1\n[variation]\nsigma_ln_tau = -1", "variation.sigma_ln_tau must lie"),
        ("tau_ns = 1\n[variation]\nclasses = 1.5", "a whole number"),
        ("tau_ns = 1\n[retention]\nhold_ms = 1", "retention.delta is missing"),
        ("tau_ns = 1\n[read]\ni = 0.3", "belong together"),
        ("tau_ns = 1\n[circuit]\nmonitor = 1", "circuit.'monitor' is unknown"),
        ("tau_ns = 1\n[temperature]\nkelvin = 1e5", "temperature.kelvin must lie"),
        ("tau_ns = 1\nname = 3", "name must be a text"),
        ("name = 'x'", "must set at least one of"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, text, why):
    file = tmp_path / "cell.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=why) as caught:
        load_cell(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_lists_the_presets():
    with pytest.raises(
        ConfigError, match="no file and no preset; presets: arm-python, arm-veriloga, asano2024"
    ):
        load_cell("asano2023")


def test_show_writes_every_field(tmp_path):
    command.show_cell(
        "asano2024-spread", scheme="retry:4", write_error_rate="0.05", json=tmp_path / "a.json"
    )
    found = json.loads((tmp_path / "a.json").read_text())
    assert {
        "pulse_ns", "error_rate", "energy_pj", "energy_per_bit_pj", "latency_ns", "reference",
        "saving_percent", "warnings",
    } <= found.keys()  # fmt: skip
    assert found["error_rate"]["up"] == pytest.approx(0.05)
    assert found["reference"]["pulse_ns"] == pytest.approx(504.77356)
    assert sum(found["class_error_rates"]) / 4 > found["error_rate"]["up"]  # of one pulse
    assert found["overheads"] == {"read_pj": 0, "read_ns": 0}


def test_show_says_what_a_source_states(tmp_path):
    command.show_cell("nvsim-sttram", json=tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["stated"]["current_ua"] == 80


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"pulse_ns": "5", "write_error_rate": "0.1"}, "give one of them"),
        ({"pulse_ns": "0"}, "--pulse-ns must be above 0"),
        ({"write_error_rate": "2"}, "from 0 to 1"),
        ({"write_error_rate": "0"}, "no pulse is long enough"),
        ({"scheme": "magic"}, "--scheme is one of"),
        ({"kelvin": "0"}, "kelvin must lie"),
        ({"toggle_share": "x"}, "--toggle-share is a share from 0 to 1"),
        ({"word_bits": "0"}, "--word-bits takes a whole number"),
    ],
)
def test_show_refuses_in_one_line(options, why):
    with pytest.raises(ConfigError, match=why) as caught:
        command.show_cell("asano2024", **options)
    assert "\n" not in str(caught.value)


def test_savings_are_the_documented_ones():
    cells = [list(column.cells) for column in command.savings().columns]
    assert cells[-1][:9] == [
        "79.75 %", "76.28 %", "68.30 %", "65.90 %", "87.71 %", "70.77 %", "62.37 %", "75.77 %",
        "81.91 %",
    ]  # fmt: skip
    schemes = dict(zip(zip(cells[0][9:], cells[2][9:], strict=True), cells[-1][9:], strict=True))
    # With a = 0.467, at 2.4 %: a P t and a P m(t), of 44.165424 pJ.
    assert (
        schemes["asano2024", "differential"] == f"{100 * (1 - 0.467 * 8.942332 / 44.165424):.2f} %"
    )
    assert (
        schemes["asano2024", "terminated"] == f"{100 * (1 - 0.467 * 2.3400768 / 44.165424):.2f} %"
    )
    assert schemes["macrospin-1.5", "differential"] == "85.20 %"  # 1 - 0.467 (1 - 0.6830)
    # Retries of a population are not independent: not shown, and said in an answer.
    assert ("asano2024-spread", "retry:4") not in schemes
    assert "a slow cell stays slow" in str(
        doubts(load_cell("asano2024-spread"), parse_scheme("retry:4"))
    )


def test_a_fitted_cell_is_read_again(tmp_path):
    data = tmp_path / "data.csv"
    rows = [(20, 7411), (40, 9330), (60, 9826), (80, 9955), (100, 9988)]
    data.write_text(
        "pulse_ns,current_ua,direction,switched,trials\n"
        + "".join(f"{t},150,up,{n},10000\n" for t, n in rows)
    )
    command.fit_cell(str(data), voltage_v="1.08", output=str(tmp_path / "cell.toml"))
    cell = load_cell(tmp_path / "cell.toml")
    assert cell.up.switching.tau_ns == pytest.approx(14.8145, abs=1e-3)
    assert cell.has_power
    data.write_text(data.read_text() + "20,90,up,500,1000\n40,90,up,700,1000\n")
    with pytest.raises(ConfigError, match="several currents"):
        command.fit_cell(str(data), model="tail")
    command.fit_cell(str(data), current_ua="150")
