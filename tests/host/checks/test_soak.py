"""The fault test in small, and its faults."""

import json
from dataclasses import asdict

import networks
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import WriteErrors
from mtjkit_export.files import write_json
from mtjkit_host.checks.faulty_line import Faults
from mtjkit_host.checks.soak import describe, soak, soak_these


def small_soak(images, rate, kills):
    model = Model(bytes(networks.build("pooled")))
    inputs = np.random.default_rng(3).integers(-128, 128, (30, *model.input_shape), np.int8)
    errors = WriteErrors(5, limits=[(1 << 26, 0), (1 << 20, 1 << 28), (5, 6)])
    return soak_these(model, inputs, errors, images, rate, kills, seed=5)


@pytest.mark.slow
def test_faults_and_kills_cost_nothing(micropython, tmp_path):
    result = small_soak(1000, 2e-3, 5)
    assert result.passed
    assert (result.correct, result.lost, result.duplicated) == (1000, 0, 0)
    assert result.kills == 5
    assert result.connections >= 6
    assert all(n > 0 for n in result.faults_by_kind.values())
    write_json(tmp_path / "soak.json", asdict(result))
    written = json.loads((tmp_path / "soak.json").read_text())
    assert {"images", "correct", "lost", "duplicated", "kills", "faults", "images_per_s"} <= set(
        written
    )
    assert "1000 equal to the twin's, 0 lost, 0 doubled" in describe(result)


def test_one_image_and_its_device_dies(micropython):
    result = small_soak(1, 0, 1)
    assert result.passed
    assert result.kills == 1


@pytest.mark.parametrize("arguments", [{"images": 0}, {"rate": -1}, {"rate": 0.5}, {"kills": -1}])
def test_arguments_out_of_range(arguments):
    with pytest.raises(ConfigError):
        soak(**arguments)


def test_no_faults_change_nothing():
    assert Faults(0, 1).spoil(b"abc" * 1000) == (b"abc" * 1000, 0)


def test_the_rate_of_faults_is_the_stated_one():
    faults = Faults(1e-3, 1)
    for _ in range(400):
        faults.spoil(bytes(1000))
    struck = sum(faults.counts.values())
    assert abs(struck - 400) < 6 * 20  # binomial, 6 sigma; swapped pieces strike a few bytes more


@given(st.integers(0, 99), st.floats(0, 1), st.lists(st.binary(max_size=99)))
def test_any_chunks_at_any_rate(seed, rate, chunks):
    faults = Faults(rate, seed)
    for chunk in chunks:
        out, stall_s = faults.spoil(chunk)
        assert len(out) <= (len(chunk) + 2) ** 2
        assert stall_s >= 0
