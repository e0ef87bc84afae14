"""Options arrive as strings: right ones become values, wrong ones one line that names them."""

from pathlib import Path

import numpy as np
import pytest
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.write_errors import CERTAIN, KEEP, NO_ERRORS
from mtjkit_host.mtj.cell import Cell, flat_cell
from mtjkit_host.paths import CARRIED, CARRIED_IMAGES, CARRIED_MODEL
from mtjkit_host.runs.options import RunOptions
from mtjkit_host.runs.parse_options import options_from_json, parse_options
from mtjkit_host.runs.run import run_twin


def test_no_option_means_the_carried_run():
    options = parse_options()
    assert options == RunOptions()
    assert (options.model, options.data, options.images) == (CARRIED_MODEL, CARRIED_IMAGES, None)
    assert (options.write_error_rate, options.weight_error_rate) == (0.024, 0.0)
    assert (options.ber, options.weight_ber, options.seed) == (0.024, 0.0, 0)
    assert options.write_errors.limits == ((103_079_215, 103_079_215),)  # round(0.024 * 2**32)
    assert f"{options.pulse_ns:.1f}" == "55.2"
    assert options.weight_pulse_ns is None


def test_every_option(tmp_path):
    cell = tmp_path / "cell.toml"
    cell.write_text("tau_ns = 10\n")
    options = parse_options(
        model="a.mtjb",
        data="photos",
        images="12",
        ber="1",
        weight_ber="1e-3",
        errors="keep",
        device=str(cell),
        seed=str(2**64 - 1),
        kernel="viper",
        json=str(tmp_path / "out.json"),
    )
    assert options.images == 12
    assert (options.write_errors.limits, options.pulse_ns) == (((CERTAIN, CERTAIN),), 0.0)
    assert options.weight_pulse_ns == flat_cell(tau_ns=10).pulse_width_ns(1e-3)
    assert (options.write_errors.kind, options.seed, options.kernel) == (KEEP, 2**64 - 1, "viper")


def test_a_carried_model_has_a_name_unless_a_file_has_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_options(model="binary-paper").model == CARRIED / "binary-paper.mtjb"
    for text in ("binary-paper.mtjb", "x/binary-paper", "."):
        assert str(parse_options(model=text).model) == text
    with pytest.raises(ConfigError, match="carried models are binary-paper, "):
        parse_options(model="binary")
    Path("binary-paper").touch()
    assert parse_options(model="binary-paper").model == Path("binary-paper")


def test_a_pulse_width_gives_the_rate_and_stays_as_given():
    options = parse_options(pulse_ns="100")
    assert options.pulse_ns == 100.0
    assert options.ber == Cell().error_rate(100.0)
    endless = parse_options(pulse_ns="1e9")  # an error rate below the smallest double
    assert (endless.ber, endless.pulse_ns, endless.write_errors) == (0.0, 1e9, NO_ERRORS)


def test_rate_0_has_no_pulse_width():
    options = parse_options(ber="-0")
    assert (str(options.ber), options.pulse_ns, options.write_errors) == ("0.0", None, NO_ERRORS)


BAD = [
    ({"ber": "0.1", "pulse_ns": "50"}, "--ber. and --pulse-ns"),
    *[({"ber": text}, "--ber") for text in ("-0.1", "1.1", "a lot", "nan", "inf", "", "1_0", "٣")],
    *[({"weight_ber": text}, "--weight-ber") for text in ("-1e-9", "2", "nan", "0x1")],
    *[({"pulse_ns": text}, "--pulse-ns") for text in ("0", "-5", "inf", "1e10", "long", "5 ns")],
    *[({"images": text}, "--images") for text in ("0", "-1", "1.5", "many", "", "9" * 5000)],
    *[({"seed": text}, "--seed") for text in ("-1", str(2**64), "0x10", "1 ", "seed")],
    *[({"errors": text}, "--errors") for text in ("Flip", "", "drop")],
    *[({"kernel": text}, "--kernel") for text in ("fast", "numpy", "")],
    ({"scheme": "faster"}, "--scheme is one of fixed, "),
    ({"scheme": "differential"}, "--errors keep"),
    ({"scheme": "flip-n-write", "errors": "flip"}, "--errors keep"),
    ({"model": ""}, "--model"),
    ({"data": "a\0b"}, "--data"),
    ({"json": ""}, "--json"),
    ({"json": "."}, "--json"),
    ({"device": "/nowhere/cell.toml"}, "cell file"),
]


@pytest.mark.parametrize(("given", "named"), BAD)
def test_a_bad_option_ends_in_one_line_that_names_it(given, named):
    with pytest.raises(ConfigError, match=named) as caught:
        parse_options(**given)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_numbers_and_paths_of_a_program_are_taken(tmp_path):
    cell = tmp_path / "cell.toml"
    cell.write_text("tau_ns = 10\n")
    options = parse_options(
        model=Path("a.mtjb"), data=tmp_path, images=12, write_error_rate=1e-05,
        weight_error_rate=1, cell=cell, seed=2**64 - 1, json=tmp_path / "out.json",
    )  # fmt: skip
    assert (options.write_error_rate, options.weight_error_rate) == (1e-05, 1.0)
    assert (options.images, options.seed, options.cell) == (12, 2**64 - 1, flat_cell(tau_ns=10))
    assert parse_options(pulse_ns=40).pulse_ns == 40.0
    assert (options.model, options.data) == (Path("a.mtjb"), tmp_path)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"write_error_rate": True}, "--write-error-rate"),
        ({"write_error_rate": float("nan")}, "--write-error-rate"),
        ({"images": 1.5}, "--images"),
        ({"seed": -1}, "--seed"),
        ({"data": 3}, "--data"),
        ({"data": np.zeros((9, 8, 8, 1))}, r"--data takes a path, not array\(.*images=\(pixels"),
        ({"errors": 1}, "--errors"),
        ({"json": Path("a\0b")}, "--json"),
    ],
)
def test_wrong_python_values_end_in_one_line(given, named):
    with pytest.raises(ConfigError, match=named):
        parse_options(**given)


def test_the_older_names_are_taken_but_not_beside_the_newer(tmp_path):
    cell = tmp_path / "cell.toml"
    cell.write_text("tau_ns = 10\n")
    pairs = {
        "ber": ("write_error_rate", 0.1),
        "weight_ber": ("weight_error_rate", 0.1),
        "device": ("cell", cell),
    }
    for older, (name, value) in pairs.items():
        assert parse_options(**{older: value}) == parse_options(**{name: value})
        with pytest.raises(ConfigError, match=f"{older} is another name of {name}"):
            parse_options(**{older: value, name: value})


def test_a_rate_that_the_memory_cannot_hold_is_said():
    small = parse_options(ber=1e-12, weight_ber=1e-11, images=1)
    [said] = [word for word in run_twin(small).warnings if "resolution" in word]
    assert said == (
        "a write-error rate of 1e-11 is below the memory's resolution of 2.3e-10: it is taken as 0"
    )
    for rate in (1.2e-10, 0.1):
        result = run_twin(parse_options(ber=rate, images=1))
        assert not any("resolution" in word for word in result.warnings)


def test_a_carried_model_keeps_its_older_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_options(model="vgg-small").model == CARRIED_MODEL
    assert parse_options(model=CARRIED / "vgg-small.mtjb").model == CARRIED_MODEL  # run files
    assert parse_options(model="vgg-small.mtjb").model == Path("vgg-small.mtjb")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pulse_ns", float("nan")),
        ("pulse_ns", float("inf")),
        ("pulse_ns", -1),
        ("pulse_ns", 10**400),
        ("pulse_ns", True),
        ("scheme", 5),
        ("scheme", None),
        ("plan", []),
        ("limits", [[1.5, 2]]),
        ("weight_limits", [["a", "b"]]),
        ("images", 1.5),
        ("seed", -1),
        ("model", "\0"),
    ],
)
def test_each_field_of_a_run_file_has_its_type_and_range(name, value):
    with pytest.raises(FormatError, match="its options are damaged"):
        options_from_json({**parse_options(ber=0.1).to_json(), name: value}, "x")


def test_a_run_file_keeps_the_scheme_and_one_without_has_the_fixed_pulse():
    options = parse_options(scheme="retry:4x2", errors="keep", ber="0.05")
    values = options.to_json()
    assert options_from_json(values, "x").scheme == "retry:4x2"
    del values["scheme"]
    assert options_from_json(values, "x").scheme == "fixed"
    with pytest.raises(FormatError, match="damaged: --scheme"):
        options_from_json(values | {"scheme": "?"}, "x")


def test_a_programs_options_are_checked_as_typed_ones():
    assert RunOptions(model="vgg-small").model == CARRIED_MODEL
    with pytest.raises(ConfigError, match="no such file, and the carried models are"):
        RunOptions(model="vgg-smal")
    with pytest.raises(ConfigError, match=r"run_twin\(options, images=array\)"):
        RunOptions(data=np.zeros((1, 32, 32, 3), np.uint8))
