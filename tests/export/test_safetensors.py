"""Fixed-point nets in files: what is written is what is read, whatever the arrays' strides are."""

import dataclasses
import json
import math
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_export.formats.safetensors import encode_fixed, load_fixed, save_fixed
from mtjkit_host.datasets.cifar10 import CLASSES
from mtjkit_host.datasets.images import class_names
from support.nets import fixed_net


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_a_saved_net_is_the_same_net(bits, tmp_path):
    net, path = fixed_net(bits), tmp_path / "net.safetensors"
    assert save_fixed(net, path) == path.stat().st_size
    again = load_fixed(path)
    assert (again.name, again.bits, again.side) == (net.name, bits, 8)
    for one, other in zip(net.layers, again.layers, strict=True):
        assert np.array_equal(one.codes, other.codes)
        assert (one.norm is None) == (other.norm is None)
        if one.norm is not None:
            assert np.array_equal(dataclasses.astuple(one.norm), dataclasses.astuple(other.norm))


def test_class_names_are_kept(tmp_path):
    names = tuple(f"word {n}" for n in range(10))
    save_fixed(dataclasses.replace(fixed_net(8), class_names=names), tmp_path / "net.safetensors")
    assert load_fixed(tmp_path / "net.safetensors").class_names == names
    save_fixed(fixed_net(8), tmp_path / "none.safetensors")
    assert load_fixed(tmp_path / "none.safetensors").class_names == ()


def test_a_file_from_before_class_names_is_of_cifar10(tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(tampered(lambda tensors, meta: meta.pop("class_names")))
    net = load_fixed(path)
    assert net.class_names is None
    assert class_names(net) == CLASSES
    assert class_names(dataclasses.replace(net, class_names=())) == ()
    assert encode_fixed(net) == path.read_bytes()


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_strides_do_not_matter(bits, tmp_path):
    """Codes as torch's channels_last has them, batch norm as a column and backwards."""
    net = fixed_net(bits)
    first, *middle, dense, last = net.layers
    channels_last = first.codes.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    gamma = np.stack([first.norm.gamma, first.norm.beta], axis=1)[:, 0]
    std = first.norm.std[::-1].copy()[::-1]
    assert not channels_last.flags.c_contiguous
    norm = dataclasses.replace(first.norm, gamma=gamma, std=std)
    first = dataclasses.replace(first, codes=channels_last, norm=norm)
    dense = dataclasses.replace(dense, codes=np.asfortranarray(dense.codes))
    other = dataclasses.replace(net, layers=(first, *middle, dense, last))
    assert encode_fixed(other) == encode_fixed(net)
    save_fixed(other, tmp_path / "net.safetensors")
    again = load_fixed(tmp_path / "net.safetensors")
    assert np.array_equal(again.layers[0].codes, net.layers[0].codes)
    assert np.array_equal(again.layers[-2].codes, net.layers[-2].codes)


def test_what_cannot_be_read_or_written_is_one_line(tmp_path):
    path = tmp_path / "net.safetensors"
    with pytest.raises(ConfigError, match="cannot be read"):
        load_fixed(path)
    path.write_bytes(b"no net")
    with pytest.raises(FormatError, match="not a fixed-point net"):
        load_fixed(path)
    with pytest.raises(ConfigError, match="cannot write"):
        save_fixed(fixed_net(8), path / "below")


def test_torch_is_not_needed(tmp_path):
    save_fixed(fixed_net(16), tmp_path / "net.safetensors")
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from mtjkit_export.formats.safetensors import load_fixed\n"
        "print(load_fixed(sys.argv[1]).bits)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "net.safetensors")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "16\n", done.stderr


def test_bad_files_end_in_one_line(tmp_path):
    path = tmp_path / "net.safetensors"
    with pytest.raises(ConfigError):
        load_fixed(path)
    good = encode_fixed(fixed_net(8))
    safetensors.numpy.save_file({"a": np.zeros(3)}, path)
    foreign = path.read_bytes()
    safetensors.numpy.save_file({"a": np.zeros(3)}, path, {"mtjkit": json.dumps({"version": 9})})
    for data in (good[:-5], good[:40], b"", foreign, path.read_bytes()):
        path.write_bytes(data)
        with pytest.raises(FormatError) as caught:
            load_fixed(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3", "F8_E5M2", "F16", "BOOL", "I64", "C64"])
def test_tensors_of_another_type_are_refused_by_name(tmp_path, kind):
    """Types that numpy lacks, or would change in silence."""
    good = encode_fixed(fixed_net(8))
    size = int.from_bytes(good[:8], "little")
    head = json.loads(good[8 : 8 + size])
    key, item = ("gamma.0", 8) if kind in ("I64", "C64") else ("codes.0", 1)
    sizes = {"BF16": 2, "F16": 2, "I64": 8, "C64": 8}
    count = item * math.prod(head[key]["shape"]) // sizes.get(kind, 1)
    head[key] |= {"dtype": kind, "shape": [count]}
    text = json.dumps(head).encode()
    path = tmp_path / "net.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + good[8 + size :])
    with pytest.raises(FormatError, match=rf"tensor '{key}' is of type {kind}, expected"):
        load_fixed(path)


def test_metadata_nested_without_end_are_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    safetensors.numpy.save_file({"a": np.zeros(3)}, path, {"mtjkit": "[" * 100_000})
    with pytest.raises(FormatError, match="not a fixed-point net"):
        load_fixed(path)


def tampered(change):
    """The bytes of a net's file after `change(tensors, meta)`."""
    good = encode_fixed(fixed_net(8))
    tensors = safetensors.numpy.load(good)
    head = json.loads(good[8 : 8 + int.from_bytes(good[:8], "little")])
    meta = json.loads(head["__metadata__"]["mtjkit"])
    change(tensors, meta)
    return safetensors.numpy.save(tensors, {"mtjkit": json.dumps(meta)})


@pytest.mark.parametrize(
    "change",
    [
        lambda t, m: m.update(side=0),
        lambda t, m: m.update(side=8.0),
        lambda t, m: m.update(name=3),
        lambda t, m: m.update(name="a\x1b[2J"),
        lambda t, m: m.update(version=True),
        lambda t, m: m.update(class_names=["a", "b"]),
        lambda t, m: m.update(class_names=["a"] * 9 + [1]),
        lambda t, m: m.update(class_names="0123456789"),
        lambda t, m: t.update({"gamma.0": t["gamma.0"].astype(np.float32)}),
        lambda t, m: m.update(layers=[]),
        lambda t, m: m["layers"][1].update(input_bits=32),
        lambda t, m: m["layers"][0].update(input_bits=64),
        lambda t, m: m["layers"][0].update(padding=0),
        lambda t, m: m["layers"][1].update(pool=True),
        lambda t, m: m["layers"][4].update(pool=2),
        lambda t, m: t.update({"gamma.0": t["gamma.0"][:1]}),
        lambda t, m: t.update({"std.1": t["std.1"] * 0}),
        lambda t, m: t.update({"mean.2": t["mean.2"] * np.nan}),
        lambda t, m: t.update({"codes.0": t["codes.0"][:0]}),
        lambda t, m: t.update({"codes.4": t["codes.4"][:, :-1]}),
        lambda t, m: t.update({"codes.5": t["codes.5"][0]}),
    ],
)
def test_nets_that_compiled_code_must_not_see_are_refused(change, tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(tampered(lambda tensors, meta: None))
    load_fixed(path)
    path.write_bytes(tampered(change))
    with pytest.raises(FormatError) as caught:
        load_fixed(path)
    assert "\n" not in str(caught.value)
