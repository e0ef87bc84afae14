"""Any bytes end in one of the project's errors, in bounded memory and time, on both Pythons."""

import contextlib
import importlib.util
import json
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from random import Random

import both
import importing
import inputs
import networks
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from mtjkit_core.errors import ConfigError, MtjkitError
from mtjkit_core.model import Model
from mtjkit_export import BinaryLayer, BinaryNet, encode
from mtjkit_host.boards.unix_port import UnixPort
from mtjkit_host.link.session import Session
from mtjkit_host.simulate import compile as native
from support.micropython import run_micropython
from support.paths import python_env
from targets import BOUNDS, TARGETS, attempt

MUTATIONS = 150  # of each target, besides its seeds
SECONDS = 5.0  # of the processor for one input; most take a millisecond

TORCH = ("checkpoint", "fixed")
FEWER = {name: 25 for name in importing.TARGETS}  # each is a network that is computed
FEWER["import-h5"] = 6  # each starts a process


def corpus(name, count=None):
    count = FEWER.get(name, MUTATIONS) if count is None else count
    if name in TORCH:
        pytest.importorskip("torch", reason="the trainer's files need torch and safetensors")
    return [
        *inputs.seeds(name),
        *(inputs.mutated(name, Random(f"{name} {n}")) for n in range(count)),
    ]


def cost(name, data):
    """The bytes that reading the input takes at its peak, and seconds of the processor."""
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    start = time.process_time()
    attempt(name, data)
    return tracemalloc.get_traced_memory()[1] - before, time.process_time() - start


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_ends_in_named_errors_within_memory_and_time(name):
    tracemalloc.start()
    try:
        for data in corpus(name):
            bound = BOUNDS[name] + 2 * len(data)
            taken, seconds = cost(name, data)
            assert seconds < SECONDS, data.hex()
            if taken > bound:  # the first reading may import and compile a library's reader
                taken, _ = cost(name, data)
            assert taken <= bound, (taken, data.hex())
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", inputs.HOSTILE_MODELS)
def test_absurd_models(name):
    data = inputs.HOSTILE_MODELS[name]
    assert attempt("model", data) == name.startswith("valid")
    assert attempt("model-file", data) == name.startswith("valid")


def test_a_device_refuses_a_model_that_its_memory_is_too_small_for(micropython):
    name = next(name for name in inputs.HOSTILE_MODELS if "1.05e9 map bits" in name)
    with (
        UnixPort(micropython) as link,
        pytest.raises(ConfigError, match=r"needs 26950\d{4} bytes of memory"),
    ):
        Session(link).program(inputs.HOSTILE_MODELS[name])


ABSURD = [
    # The compiled code computes the pooling windows too, in 10 s.
    pytest.param(name, engine, marks=[pytest.mark.slow] * ("6e8" in name and engine == "native"))
    for name in inputs.HOSTILE_MODELS
    for engine in ("native", "numpy")
    if name.startswith("valid")
    and not ("e9 map bits" in name and engine == "native")  # which computes it, in 10 s
]


COMPUTE = """
import os, sys
from pathlib import Path
import resource
import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import WriteErrors
from mtjkit_host.simulate.simulator import open_simulator

def compute(data, engine):
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
    model = Model(data)
    images = np.zeros((1, *model.input_shape), np.int8)
    try:
        open_simulator(model, engine).run(images, errors=WriteErrors(0, 0, 1 << 27))
    except ConfigError as error:
        print(error)
    sys.stdout.flush()

for line in sys.stdin:  # each in a process of its own, forked from one that has its imports
    path, engine, said = line.split()
    pid = os.fork()
    if not pid:
        descriptor = os.open(said, os.O_WRONLY | os.O_CREAT)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        compute(Path(path).read_bytes(), engine)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def computes(tmp_path_factory):
    """Computes a model in a process of its own; its exit status, and what it says."""
    place = tmp_path_factory.mktemp("absurd")
    with subprocess.Popen(
        [sys.executable, "-c", COMPUTE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=python_env(),
    ) as parent:

        def run(data, engine):
            (place / "model").write_bytes(data)
            said = place / "said"
            said.unlink(missing_ok=True)
            parent.stdin.write(f"{place / 'model'} {engine} {said}\n")
            parent.stdin.flush()
            return int(parent.stdout.readline()), said.read_text()

        yield run


@pytest.mark.parametrize(("name", "engine"), ABSURD)
def test_the_host_computes_an_absurd_model_or_says_what_it_lacks(name, engine, computes):
    """In a process of its own with 3 GB of address space: no MemoryError, and no hours."""
    if engine == "native" and not native.available():
        pytest.skip("no C compiler")
    status, said = computes(inputs.HOSTILE_MODELS[name], engine)
    assert status == 0, said
    too_large = any(text in name for text in ("e9 map bits", "e11 products", "e12 products"))
    assert ("the host computes up to" in said) == too_large


def test_the_seeds_reach_what_they_are_for():
    for name in TARGETS:
        if name not in TORCH:
            assert any(attempt(name, data) for data in corpus(name, 0)), name


def test_a_frame_that_lies_about_its_length_is_dropped():
    for lie in inputs.lying(inputs.whole_frames.pack(7, 9, b"\0" * 5)):
        deframer = inputs.whole_frames.Deframer()
        after = inputs.whole_frames.pack(1, 2, b"after")
        found = list(inputs.whole_frames.frames(deframer, lie + b"\0" + after))
        assert found[-1] == (1, 2, b"after")
        assert len(found) == 1 or all(len(body) <= 252 for _, _, body in found)


@pytest.mark.usefixtures("micropython")
def test_cpython_and_micropython_say_the_same():
    from port import compare

    pairs = [(name, data) for name, _ in both.TARGETS for data in corpus(name, 400)]
    pairs += [("model", named(text)) for text in utf8_edges()]
    assert 0 < compare(pairs) < len(pairs)


@pytest.mark.usefixtures("micropython")
def test_every_kernel_computes_random_networks_as_the_reference_does():
    out = run_micropython("tests/fuzz/nets.py", "120", "1")
    assert "'viper': 120" in out


def utf8_edges():
    """Every first byte with continuations at the ends of what is allowed after some."""
    ends = (0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0)
    for first in range(1, 256):
        for second in ends:
            yield bytes([first, second, 0x80, 0xBF])[
                : 1 + (first > 127) + (first > 0xDF) + (first > 0xEF)
            ]


def named(text):
    """A small model of this name."""
    data = bytearray(inputs.seeds("model")[4])
    data[32:64] = text.ljust(32, b"\0")
    return networks.sealed(data)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="atheris is not installed: the coverage-guided part is left out",
)
@pytest.mark.parametrize("name", ["model"])
def test_guided(name):
    script = Path(__file__).with_name("fuzz.py")
    command = [sys.executable, str(script), name, "--seconds", "60", "--inputs", "500"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stderr[-3000:]


# What hypothesis thinks of, beyond the mutations.

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["i", "s", "b", "us", "kernel", "w", "tau_ns", "options", "a"])
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("name", [name for name in TARGETS if name not in (*TORCH, "import-h5")])
def test_any_bytes(name):
    @given(st.binary(max_size=300))
    @settings(max_examples=25, deadline=None)
    def check(data):
        attempt(name, data)

    check()


@given(st.sampled_from(["cell-json", "run-file", "results"]), st.lists(values, max_size=3))
@settings(max_examples=30, deadline=None)
def test_any_json(name, lines):
    attempt(name, b"".join(json.dumps(line).encode() + b"\n" for line in lines))


@given(st.dictionaries(st.text(max_size=5) | st.sampled_from(["rates", "nets", "tau_ns"]), values))
@settings(max_examples=30, deadline=None)
def test_any_toml(table):
    text = "".join(f"{json.dumps(key)} = {json.dumps(value)}\n" for key, value in table.items())
    data = text.encode(errors="surrogatepass")
    attempt("campaign", data)
    attempt("cell-toml", data)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_model_with_a_right_checksum_is_read_or_refused(data):
    rng = data.draw(st.randoms(use_true_random=False))
    raw = inputs.built(rng)
    if attempt("model", raw):
        model = Model(raw)
        assert encodes_no_more_than_its_bytes(model, raw)


def encodes_no_more_than_its_bytes(model, raw):
    """Every weight that the geometry promises lies in the file."""
    return 0 < model.weight_bits <= 8 * len(raw) and model.layers[-1].weights_at < len(raw)


shapes = arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)
anything = arrays.arrays(arrays.scalar_dtypes() | arrays.unicode_string_dtypes(), shapes)
signs = arrays.arrays(np.int8, shapes, elements=st.sampled_from([-1, 1]))


@given(anything | signs, anything, anything, st.integers(-1, 2), st.booleans())
@settings(max_examples=40, deadline=None)
def test_any_arrays(weights, thresholds, inverted, padding, pool):
    for make in (
        lambda: BinaryLayer.conv(weights, thresholds, inverted, padding=padding, pool=pool),
        lambda: BinaryLayer.dense(weights, thresholds, inverted),
        lambda: BinaryLayer.dense(weights, input_shape=weights.shape),
    ):
        with contextlib.suppress(MtjkitError):
            layer = make()
            encode(BinaryNet("any", [layer, layer], (4, 4, 3), class_names=()))
