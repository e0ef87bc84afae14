"""Arrays of FINN's networks: the scores that lie beside them."""

import numpy as np
import pytest
from mtjkit_core.errors import MtjkitError
from mtjkit_host.importing.command import import_net


@pytest.mark.parametrize(
    ("name", "scores", "most"),
    [("lfc_w1a1_chars", 47000, 450_000), ("cnv_w1a1_gtsrb", 8800, 250_000)],
)
def test_finns_networks_give_the_scores_in_their_files(name, scores, most, long_data, tmp_path):
    text = import_net(str(long_data(f"{name}.npz")), str(tmp_path / "net.mtjb"))
    assert f"{scores} scores that are in the file" in text
    assert (tmp_path / "net.mtjb").stat().st_size <= most


def arrays(rng):
    return {
        "w0_bits": rng.integers(0, 256, (16, 8), np.uint8),
        "t0_ge": rng.integers(-5, 5, 16),
        "w1_bits": rng.integers(0, 256, (3, 2), np.uint8),
    }


def test_wrong_scores_are_found_and_nothing_is_written(tmp_path):
    rng = np.random.default_rng(0)
    net = arrays(rng)
    inputs = rng.integers(0, 256, (5, 8), np.uint8)
    x = np.unpackbits(inputs, axis=1) * 2.0 - 1
    w0, w1 = (np.unpackbits(net[f"w{k}_bits"], axis=1) * 2.0 - 1 for k in (0, 1))
    scores = (np.where(x @ w0.T >= net["t0_ge"], 1, -1) @ w1.T).astype(np.int32)
    good = tmp_path / "good.npz"
    np.savez(good, **net, inputs_bits=inputs, scores=scores)
    assert "15 scores that are in the file" in import_net(str(good), str(tmp_path / "good.mtjb"))
    scores[2, 1] += 2
    bad = tmp_path / "bad.npz"
    np.savez(bad, **net, inputs_bits=inputs, scores=scores)
    with pytest.raises(MtjkitError, match="the check failed"):
        import_net(str(bad), str(tmp_path / "bad.mtjb"))
    assert not (tmp_path / "bad.mtjb").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"w0_bits": np.zeros((16, 8), np.int32)},
        {"t0_ge": np.zeros(3)},
        {"w1_shape": np.array([3, 10**9])},
        {"w0_shape": np.array([16, 64, 1])},
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, tmp_path):
    path = tmp_path / "net.npz"
    np.savez(path, **{**arrays(np.random.default_rng(0)), **change})
    with pytest.raises(MtjkitError):
        import_net(str(path), str(tmp_path / "net.mtjb"))
    assert not (tmp_path / "net.mtjb").exists()
