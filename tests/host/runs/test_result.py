"""The result: every JSON field, unrounded; the table; what exists and what is null."""

import hashlib
import io
import json
from dataclasses import replace

import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.reference import run_image
from mtjkit_core.write_errors import CERTAIN
from mtjkit_export.files import write_json
from mtjkit_host.boards.catalog import boards
from mtjkit_host.datasets.images import load_images, to_input
from mtjkit_host.mtj.cell import Cell
from mtjkit_host.paths import CARRIED_IMAGES, CARRIED_MODEL
from mtjkit_host.runs.parse_options import parse_options
from mtjkit_host.runs.result import tables, wilson
from mtjkit_host.runs.run import run_twin
from PIL import Image
from rich.console import Console

FIELDS = (  # in order; nested names after the dot
    "backend kernel model.name model.sha256 model.weight_bits model.macs device.tau_ns "
    "device.current_ua device.voltage_v cell.tau_ns cell.current_ua cell.voltage_v images "
    "data.source data.sha256 correct accuracy error_free_accuracy seed errors "
    "buffer.ber buffer.write_error_rate buffer.pulse_ns buffer.limits_used "
    "weights.ber weights.write_error_rate "
    "weights.pulse_ns weights.bits_written "
    "weights.bits_wrong weights.limits_used chip disturb cells_before "
    "bits.written bits.toggled bits.wrong bits.ones_written bits.up_toggled "
    "energy.per_bit_pj energy.total_pj "
    "energy.reference_per_bit_pj energy.saving_percent energy.scheme energy.toggle_share "
    "energy.up_share energy.ones_share energy.sigma_ln_tau energy.coefficients_pj.zero "
    "energy.coefficients_pj.one energy.coefficients_pj.down energy.coefficients_pj.up "
    "energy.coefficients_pj.word energy.word_bits energy.word_ns energy.reference_rate "
    "energy.reference_pulse_ns energy.erased_share energy.with_erasing_per_bit_pj "
    "energy.steady_reuse_per_bit_pj near_chance warnings scores_sha256 seconds "
    "device_us_per_image device_us_median heap_in_use_bytes"
)


def flat(values, prefix=""):
    """Names of all leaves, in order."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def table(result):
    """What a command prints, as plain text."""
    console = Console(file=io.StringIO(), width=100)
    console.print(*tables(result))
    return console.file.getvalue()


@pytest.fixture(scope="module")
def run():
    return run_twin(parse_options(images="12", seed="7", weight_ber="0.001", errors="keep"))


def test_a_board_on_a_port_is_told_the_most_that_any_processor_takes():
    found = replace(run_twin(parse_options(images=2)), backend="serial", kernel="viper")
    each = [replace(found, backend=name) for name in boards()]
    taken = [one.heap_in_use for one in each if one.heap_in_use and one.backend != "unix"]
    assert found.heap_in_use is None
    assert max(taken) <= found.heap_at_most <= 1.05 * max(taken)
    assert f"at most {found.heap_at_most:,} bytes" in table(found)
    assert "heap" not in table(replace(found, backend="twin"))


def test_every_field_is_there_in_order_and_consistent(run):
    values = run.to_json()
    assert " ".join(flat(values)) == FIELDS
    cell = Cell()
    assert values["device"] == {"tau_ns": 14.8, "current_ua": 150.0, "voltage_v": 1.08}
    assert values["cell"] == values["device"]
    assert values["model"]["sha256"] == hashlib.sha256(CARRIED_MODEL.read_bytes()).hexdigest()
    assert (values["images"], values["seed"], values["errors"]) == (12, 7, "keep")
    assert values["accuracy"] == values["correct"] / 12
    assert values["bits"]["written"] == 12 * run.model.map_bits
    assert values["buffer"] == {
        "ber": 0.024,
        "write_error_rate": 0.024,
        "pulse_ns": cell.pulse_width_ns(0.024),
        "limits_used": [[103079215, 103079215]],
    }
    per_bit = cell.write_energy_pj(cell.pulse_width_ns(0.024))
    assert values["energy"]["per_bit_pj"] == per_bit
    assert values["energy"]["total_pj"] == per_bit * 12 * run.model.map_bits
    assert values["weights"]["bits_written"] == run.model.weight_bits
    assert 0 < values["weights"]["bits_wrong"] < 0.001 * run.model.weight_bits
    raw = b"".join(int(s).to_bytes(4, "little", signed=True) for s in run.scores.ravel())
    assert values["scores_sha256"] == hashlib.sha256(raw).hexdigest()


def test_the_run_is_the_reference_network():
    result = run_twin(parse_options(images="1", seed="5"))
    model = Model(CARRIED_MODEL.read_bytes())
    inputs = to_input(model, load_images(CARRIED_IMAGES, model, 1).images)
    counts = [0] * 5
    expected = run_image(model, inputs.tobytes(), 0, result.options.write_errors, counts)
    assert result.scores.tolist() == [expected]
    assert list(result.bits) == counts


def test_rate_0_has_no_pulse_and_no_energy_but_rate_1_has():
    without = run_twin(parse_options(images="2", ber="0")).to_json()
    assert without["buffer"] == {
        "ber": 0.0,
        "write_error_rate": 0.0,
        "pulse_ns": None,
        "limits_used": [[0, 0]],
    }
    assert without["energy"]["per_bit_pj"] is None
    assert without["energy"]["saving_percent"] is None
    assert without["bits"]["wrong"] == 0
    assert without["accuracy"] == without["error_free_accuracy"]
    certain = run_twin(parse_options(images="2", ber="1"))
    values = certain.to_json()
    assert certain.options.write_errors.limits == ((CERTAIN, CERTAIN),)
    assert values["buffer"] == {
        "ber": 1.0,
        "write_error_rate": 1.0,
        "pulse_ns": 0.0,
        "limits_used": [[CERTAIN, CERTAIN]],
    }
    assert (values["energy"]["total_pj"], values["energy"]["saving_percent"]) == (0.0, 100.0)
    assert values["bits"]["wrong"] == values["bits"]["written"]


def test_the_table_says_it_shortly(run):
    text = table(run)
    for part in (
        "95 %",
        "error-free accuracy (twin)",
        "55.2 ns",
        "8.94 pJ/bit",
        "79.8 % against 44.17 pJ/bit (rate 1e-8)",
        "asano2024, all cells alike",
        "fixed, 47",
        "modelled",
    ):
        assert part in text
    assert "unlimited" in table(run_twin(parse_options(images="1", ber="0")))


def test_photographs_get_a_table_of_classes_and_no_accuracy(tmp_path):
    Image.new("RGB", (50, 50), "green").save(tmp_path / "[b]leaf\x1b.png")
    result = run_twin(parse_options(data=str(tmp_path)))
    values = result.to_json()
    assert (values["correct"], values["accuracy"], values["error_free_accuracy"]) == (None,) * 3
    text = table(result)
    assert "[b]leaf?.png" in text
    assert result.model.class_names[result.predictions[0]] in text
    assert "same class as error-free" in text


def test_json_is_written_whole_or_not_at_all(run, tmp_path):
    path = tmp_path / "new" / "out.json"
    write_json(path, run.to_json())
    assert json.loads(path.read_text()) == run.to_json()
    assert [p.name for p in path.parent.iterdir()] == ["out.json"]
    with pytest.raises(ConfigError, match="cannot write"):
        write_json(path / "below" / "a" / "file.json", run.to_json())


def test_wilson_interval():
    # Newcombe, Statistics in Medicine 17, 857 (1998), table I, method 3.
    for hits, n, low, high in ((81, 263, "0.2553", "0.3662"), (15, 148, "0.0624", "0.1605")):
        assert tuple(f"{x:.4f}" for x in wilson(hits, n)) == (low, high)
    assert wilson(0, 20)[0] == 0
    assert f"{wilson(0, 20)[1]:.4f}" == "0.1611"
    assert wilson(29, 29)[1] == 1
