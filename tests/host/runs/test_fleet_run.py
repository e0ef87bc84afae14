"""Whole runs that break off and go on: the same result as the unbroken one."""

import json
from dataclasses import replace

import numpy as np
import pytest
from mtjkit_core.errors import FormatError
from mtjkit_core.model import Model
from mtjkit_host.boards.unix_port import UnixPort
from mtjkit_host.paths import CARRIED_MODEL
from mtjkit_host.runs import fleet_run
from mtjkit_host.runs.fleet_run import parse_run, run_fleet, run_unix
from mtjkit_host.runs.parse_options import options_from_json, parse_options
from mtjkit_host.runs.run import run_twin
from mtjkit_host.simulate import compile, simulator


@pytest.fixture
def options(tmp_path, monkeypatch):
    """A small model and 30 pictures for it."""
    import networks
    from PIL import Image

    model = tmp_path / "small.mtjb"
    model.write_bytes(networks.build("pooled"))
    height, width, _ = networks.NETWORKS["pooled"][0]
    pixels = np.random.default_rng(4).integers(0, 256, (30, height, width, 3), np.uint8)
    for n, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / f"{n:02}.png")
    monkeypatch.chdir(tmp_path)
    given = {"ber": "0.05", "weight_ber": "0.01", "kernel": "viper"}
    return parse_options(model=str(model), data=str(tmp_path), **given)


def test_a_run_that_broke_off_goes_on_with_the_same_hash(micropython, options):
    path = fleet_run.RUNS / "small-1.jsonl"
    whole = run_fleet(options, [UnixPort(micropython)])
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 2 + 30
    path.write_bytes(b"".join(lines[:14]) + lines[14][:20])
    resumed, path = parse_run(str(path))
    places = [UnixPort(micropython, name="a"), UnixPort(micropython, name="b")]
    again = run_fleet(resumed, places, path)
    assert sorted(path.read_bytes().splitlines(keepends=True)[2:14]) == sorted(lines[2:14])
    twin = run_twin(options)
    for result in (whole, again):
        assert result.scores_sha256 == twin.scores_sha256
        assert result.bits == twin.bits
        assert result.weight_bits == twin.weight_bits
        assert (result.backend, result.kernel) == ("unix", "viper")
    done = run_fleet(resumed, [UnixPort("/no/such/program")], path)  # nothing is left to compute
    assert done.scores_sha256 == twin.scores_sha256


def test_every_run_has_a_file_of_its_own(micropython, options):
    for _ in range(2):
        run_fleet(options, [UnixPort(micropython)])
    assert sorted(p.name for p in fleet_run.RUNS.iterdir()) == ["small-1.jsonl", "small-2.jsonl"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pulse_ns": "40"},
        {"images": "7", "seed": "18446744073709551615", "errors": "keep", "kernel": "viper"},
    ],
)
def test_options_come_back(tmp_path, changes):
    options = parse_options(**changes)
    text = json.dumps(options.to_json())
    assert options_from_json(json.loads(text), "run.jsonl") == options


@pytest.mark.parametrize(
    "changes", [{"seed": -1}, {"ber": 2}, {"model": 3.5, "images": "x"}, {"device": {"tau_ns": 0}},
                {"device": {"x": 1}}, {"device": None}, {"pulse_ns": []}]
)  # fmt: skip
def test_damaged_options(tmp_path, changes):
    value = {**parse_options().to_json(), **changes}
    with pytest.raises(FormatError, match="its options are damaged"):
        options_from_json(value, "run.jsonl")


@pytest.mark.parametrize("value", [None, 1, [], {}])
def test_no_options(tmp_path, value):
    with pytest.raises(FormatError, match="its options are damaged"):
        options_from_json(value, "run.jsonl")


def test_runs_that_begin_together_have_files_of_their_own(options):
    names = [fleet_run._new_path(options).name for _ in range(3)]
    assert names == ["small-1.jsonl", "small-2.jsonl", "small-3.jsonl"]


def test_limits_by_layer_give_the_same_bits_everywhere(micropython, tmp_path, monkeypatch):
    layers = len(Model(CARRIED_MODEL.read_bytes()).layers)
    limits = tuple((n << 24, (layers - n) << 25) for n in range(layers))
    options = replace(
        parse_options(images="1", seed="77", errors="keep"),
        limits=limits[:-1],
        weight_limits=limits[::-1],
    )
    runs = [run_twin(options)]
    kernels = {"native"} if compile.available() else set()
    with monkeypatch.context() as patch:
        patch.setattr(simulator, "_auto", lambda: "numpy")
        runs.append(run_twin(options))
    for kernel in ("auto", "viper"):  # the kernel python: test_engine.py, on smaller nets
        path = tmp_path / f"{kernel}.jsonl"
        runs.append(run_unix(replace(options, kernel=kernel), path=path))
    assert kernels | {"numpy", "viper"} <= {run.kernel for run in runs}
    first = runs[0].to_json()
    for run in runs:
        values = run.to_json()
        for key in ("scores_sha256", "bits", "weights", "buffer"):
            assert values[key] == first[key], (run.backend, run.kernel, key)
    assert first["buffer"]["write_error_rate"] is first["weights"]["ber"] is None
    assert first["buffer"]["limits"] == [list(pair) for pair in limits[:-1]]
    assert 0 < first["bits"]["up_toggled"] < first["bits"]["toggled"]
    # The run file brings the same options back, limits and all.
    again, path = parse_run(str(path))
    assert again.write_errors == options.write_errors
    assert run_unix(again, path=path).scores_sha256 == first["scores_sha256"]
