"""Which engine computes, and what is said where that is not the compiled one."""

import numpy as np
import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_core.write_errors import FLIP, WriteErrors
from mtjkit_host.simulate import compile, simulator
from mtjkit_host.simulate.simulator import open_simulator, program
from support.nets import fixed_net, small_model


@pytest.fixture
def no_compiler(monkeypatch):
    monkeypatch.setattr(compile, "compiler", lambda: None)
    compile.library.cache_clear()
    simulator._auto.cache_clear()
    yield
    compile.library.cache_clear()
    simulator._auto.cache_clear()


@pytest.mark.usefixtures("no_compiler")
def test_numpy_stands_in_and_says_so_once(capfd):
    model, images = small_model("plain")
    net = fixed_net(8)
    assert [open_simulator(one).engine for one in (model, net, model)] == ["numpy"] * 3
    program(model, WriteErrors())
    out, err = capfd.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert "numpy, up to 60 times slower" in line
    assert "no C compiler: install gcc or clang" in line
    open_simulator(model, "numpy").run(images)
    assert capfd.readouterr() == ("", "")
    with pytest.raises(ConfigError, match="no C compiler"):
        open_simulator(model, "native")


@pytest.mark.skipif(compile.compiler() is None, reason="no C compiler")
def test_a_library_that_does_not_load_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("MTJKIT_CACHE", str(tmp_path))
    compile.library.cache_clear()
    monkeypatch.setattr(
        compile,
        "build",
        lambda command, sources, target, libraries: target.write_bytes(b"no library"),
    )
    (tmp_path / "native").mkdir()
    with pytest.raises(ConfigError, match=r"the native library .*mtjkit-[\w-]+\.so does not load"):
        compile.library()
    compile.library.cache_clear()


@pytest.mark.parametrize("engine", ["auto", "numpy"])
def test_one_interface_for_both_kinds_of_nets(engine):
    model, inputs = small_model("pooled")
    net = fixed_net(16)
    pixels = np.random.default_rng(2).integers(0, 256, (4, 8, 8, 3), np.uint8)
    errors = WriteErrors(5, FLIP, 1 << 28, 1 << 26)
    for one, images in ((model, inputs), (net, pixels)):
        opened = open_simulator(one, engine)
        assert opened.net is one
        stored, counts = opened.program(errors)
        again, same = program(one, errors, engine)
        assert counts.tolist() == same.tolist()
        assert counts[0] == one.weight_bits
        scores, bits = stored.run(images, errors=errors)
        expected, _ = open_simulator(again, engine).run(images, errors=errors)
        assert np.array_equal(scores, expected)
        assert bits.shape == (4, 5)
        assert (bits[:, 0] == one.map_bits).all()
        trace = []
        opened.run(images, trace=trace)
        assert [words.dtype for words in trace] == [np.uint32] * len(trace)
        elements = opened.elements(trace)
        assert len(trace) == len(elements) == len(one.layers) - 1
        assert sum(stored[0].size for stored in elements) * opened.bits == one.map_bits


def test_an_unknown_engine_is_refused():
    with pytest.raises(ConfigError, match="engine 'abacus' is unknown: auto, native, numpy"):
        open_simulator(small_model("plain")[0], "abacus")
