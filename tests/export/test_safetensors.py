"""Fixed-point nets in files: what is written is what is read, whatever the arrays' strides are."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_export.formats.safetensors import encode_fixed, load_fixed, save_fixed
from mtjkit_export.nets.fixed import FixedLayer, FixedNet, FoldedNorm


def make_net(bits, seed=1):
    """A convolution with pooling and two dense layers over 8 x 8 images, codes of all sizes."""
    rng = np.random.default_rng(seed)
    one = 1 << (bits - 1)

    def layer(kind, shape, pool, last=False, first=False):
        out = shape[0]
        norm = FoldedNorm(*rng.normal(0, 1, (3, out)), rng.uniform(1, 9, out))
        codes = rng.integers(-one, one, shape).astype(np.int32)
        taken = 8 if first else bits
        return FixedLayer(
            kind, bits, taken, codes, None if last else norm, int(kind == "conv"), pool
        )

    layers = (
        layer("conv", (5, 3, 3, 3), 2, first=True),
        layer("dense", (6, 80), 1),
        layer("dense", (4, 6), 1, last=True),
    )
    return FixedNet("made", bits, layers, side=8)


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_a_saved_net_is_the_same_net(bits, tmp_path):
    net, path = make_net(bits), tmp_path / "net.safetensors"
    assert save_fixed(net, path) == path.stat().st_size
    again = load_fixed(path)
    assert (again.name, again.bits, again.side) == ("made", bits, 8)
    for one, other in zip(net.layers, again.layers, strict=True):
        assert np.array_equal(one.codes, other.codes)
        assert (one.norm is None) == (other.norm is None)
        if one.norm is not None:
            assert np.array_equal(dataclasses.astuple(one.norm), dataclasses.astuple(other.norm))


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_strides_do_not_matter(bits, tmp_path):
    """Codes as torch's channels_last has them, batch norm as a column and backwards."""
    net = make_net(bits)
    first, dense, last = net.layers
    channels_last = first.codes.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    gamma = np.stack([first.norm.gamma, first.norm.beta], axis=1)[:, 0]
    std = first.norm.std[::-1].copy()[::-1]
    assert not channels_last.flags.c_contiguous
    norm = dataclasses.replace(first.norm, gamma=gamma, std=std)
    first = dataclasses.replace(first, codes=channels_last, norm=norm)
    dense = dataclasses.replace(dense, codes=np.asfortranarray(dense.codes))
    other = dataclasses.replace(net, layers=(first, dense, last))
    assert encode_fixed(other) == encode_fixed(net)
    save_fixed(other, tmp_path / "net.safetensors")
    again = load_fixed(tmp_path / "net.safetensors")
    assert np.array_equal(again.layers[0].codes, net.layers[0].codes)
    assert np.array_equal(again.layers[1].codes, net.layers[1].codes)


def test_what_cannot_be_read_or_written_is_one_line(tmp_path):
    path = tmp_path / "net.safetensors"
    with pytest.raises(ConfigError, match="cannot be read"):
        load_fixed(path)
    path.write_bytes(b"no net")
    with pytest.raises(FormatError, match="not a fixed-point net"):
        load_fixed(path)
    with pytest.raises(ConfigError, match="cannot write"):
        save_fixed(make_net(8), path / "below")


def test_torch_is_not_needed(tmp_path):
    save_fixed(make_net(16), tmp_path / "net.safetensors")
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
