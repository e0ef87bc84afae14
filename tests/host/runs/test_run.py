"""Whole runs: every backend gives the twin's result, and both engines of the twin are one."""

import networks
import numpy as np
import pytest
from mtjkit_core.errors import ConfigError, FormatError, LinkError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import WriteErrors
from mtjkit_host.paths import CARRIED_MODEL
from mtjkit_host.runs.fleet_run import run_ports, run_unix
from mtjkit_host.runs.parse_options import parse_options
from mtjkit_host.runs.run import run_twin
from mtjkit_host.simulate import compile as native
from mtjkit_host.simulate.simulator import open_simulator, program
from support.commands import OF_ITS_BACKEND

OWN = OF_ITS_BACKEND  # what may differ


def shared(result):
    """The JSON that every backend gives alike."""
    return {name: value for name, value in result.to_json().items() if name not in OWN}


@pytest.mark.usefixtures("micropython")
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"errors": "keep", "weight_ber": "0.01", "seed": str(2**64 - 1)},
        {"pulse_ns": "30", "seed": "1"},
        {"ber": "1", "weight_ber": "1"},
        {"ber": "0"},
    ],
)
def test_micropython_gives_the_twins_result(given):
    options = parse_options(images="5", **given)
    device = run_unix(options)
    assert device.backend == "unix"
    assert device.kernel != "numpy"
    assert shared(device) == shared(run_twin(options))


@pytest.mark.usefixtures("micropython")
@pytest.mark.parametrize("model", ["binary-paper", "binary_x3-small"])
def test_micropython_gives_the_twins_result_of_every_carried_model(model):
    options = parse_options(model=model, images="3", weight_ber="0.001")
    assert shared(run_unix(options)) == shared(run_twin(options))


def test_both_engines_of_the_twin_are_one():
    if not native.available():
        pytest.skip("no C compiler")
    model = Model(networks.build("pooled"))
    images = np.frombuffer(networks.image("pooled", 3), np.int8).reshape(1, *model.input_shape)
    index = np.array([9], np.uint32)
    errors = WriteErrors(4, limits=[(n << 28, 1 << 28) for n in range(len(model.layers) - 1)])
    runs = [open_simulator(model, one).run(images, index, errors) for one in ("numpy", "native")]
    assert (runs[0][0] == runs[1][0]).all()
    assert (runs[0][1] == runs[1][1]).all()
    errors = WriteErrors(4, weight_limits=1 << 28)
    weights = [program(model, errors, one) for one in ("numpy", "native")]
    assert bytes(weights[0][0].data) == bytes(weights[1][0].data)
    assert (weights[0][1] == weights[1][1]).all()


def test_an_unknown_engine_is_refused():
    with pytest.raises(ConfigError, match="abacus"):
        open_simulator(Model(networks.build("thin")), "abacus")


def test_a_port_that_is_not_there():
    with pytest.raises(LinkError, match="no such port"):
        run_ports(parse_options(images="1"), ["/dev/ttyNOWHERE"])


def test_models_that_cannot_be_used(tmp_path):
    good = CARRIED_MODEL.read_bytes()
    flipped = bytearray(good)
    flipped[5000] ^= 4
    for name, data, why in (
        ("cut.mtjb", good[:-9], "truncated"),
        ("flipped.mtjb", flipped, "checksum"),
        ("foreign.mtjb", b"\x7fELF" + good, "not an .mtjb model"),
        ("empty.mtjb", b"", "not an .mtjb model"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(FormatError, match=why) as caught:
            run_twin(parse_options(model=str(tmp_path / name)))
        assert name in str(caught.value)
    for missing in (tmp_path / "none.mtjb", tmp_path):
        with pytest.raises(ConfigError, match="model"):
            run_twin(parse_options(model=str(missing)))
    with pytest.raises(FormatError, match="not an"):
        run_twin(parse_options(model="/dev/zero"))  # endless
