"""Folders of FINN's parameters, packed here as its documents say, and computed with popcounts."""

import numpy as np
import pytest
from mtjkit_core.errors import MtjkitError
from mtjkit_core.model import Model
from mtjkit_export import encode
from mtjkit_export.importers.lower import Options, lower
from mtjkit_host.importing.command import import_net, read
from mtjkit_host.simulate.simulator import open_simulator


def pack(folder, layer, weights, thresholds, elements, simd, width=None, height=None):
    """Write the memories of one layer: weights (neurons, inputs), 0 and 1."""
    neurons, inputs = weights.shape
    width = width or -(-inputs // simd) * simd
    height = height or -(-neurons // elements) * elements
    full = np.ones((height, width), np.uint8)
    full[:neurons, :inputs] = weights
    limits = np.full(height, 2**15 - 1)
    if thresholds is not None:
        limits[:neurons] = thresholds
    for element in range(elements):
        groups = full[element::elements].reshape(-1, simd)
        words = np.zeros((len(groups), 64), np.uint8)
        words[:, :simd] = groups
        np.packbits(words, axis=1, bitorder="little").tofile(
            folder / f"{layer}-{element}-weights.bin"
        )
        if thresholds is not None:
            own = limits[element::elements].astype("<i8")
            own.tofile(folder / f"{layer}-{element}-thres.bin")


def popcount(bits, weights, thresholds):
    """Bits (n, inputs) through one layer."""
    equal = (bits[:, None] == weights[None]).sum(axis=2)
    return (equal > thresholds).astype(np.uint8), equal


def test_an_mlp_is_what_its_popcounts_give(tmp_path):
    rng = np.random.default_rng(3)
    sizes = [(100, 48, 8, 32, 128), (48, 30, 4, 16, None), (30, 10, 2, 10, None)]
    layers = []
    for k, (inputs, neurons, elements, simd, width) in enumerate(sizes):
        weights = rng.integers(0, 2, (neurons, inputs), np.uint8)
        thresholds = rng.integers(inputs // 2 - 5, inputs // 2 + 5, neurons)
        last = k == 2
        pack(tmp_path, k, weights, None if last else thresholds, elements, simd, width,
             64 if last else None)  # fmt: skip
        layers.append((weights, thresholds))
    (tmp_path / "classes.txt").write_text("\n".join(f"number {n}" for n in range(10)))
    import_net(str(tmp_path), str(tmp_path / "net.mtjb"))
    model = Model((tmp_path / "net.mtjb").read_bytes())
    assert model.class_names == [f"number {n}" for n in range(10)]
    images = rng.integers(0, 256, (30, *model.input_shape), np.uint8)
    bits = (images.reshape(30, 100) >= 128).astype(np.uint8)
    for weights, thresholds in layers[:2]:
        bits, _ = popcount(bits, weights, thresholds)
    _, equal = popcount(bits, *layers[2])
    scores, _ = open_simulator(model).run(images)
    assert (scores == 2 * equal - 30).all()


def test_a_last_layer_with_thresholds_gives_class_bits(tmp_path):
    rng = np.random.default_rng(4)
    w0, w1 = rng.integers(0, 2, (8, 64), np.uint8), rng.integers(0, 2, (5, 8), np.uint8)
    t0, t1 = np.full(8, 31), np.array([3, 4, 4, 3, 5])
    pack(tmp_path, 0, w0, t0, 4, 64)
    pack(tmp_path, 1, w1, t1, 1, 8, height=64)
    import_net(str(tmp_path), str(tmp_path / "net.mtjb"))
    model = Model((tmp_path / "net.mtjb").read_bytes())
    images = rng.integers(0, 256, (30, *model.input_shape), np.uint8)
    bits, _ = popcount((images.reshape(30, 64) >= 128).astype(np.uint8), w0, t0)
    bits, _ = popcount(bits, w1, t1)
    scores, _ = open_simulator(model).run(images)
    assert (scores == 2 * bits.astype(int) - 1).all()


def test_cnv_in_a_folder_is_cnv_in_arrays(long_data, tmp_path):
    file = long_data("cnv_w1a1_gtsrb.npz")
    with np.load(file) as archive:
        arrays = {key: archive[key] for key in archive.files}
    elements, simd = (16, 32, 16, 16, 4, 1, 1, 1, 4), (3, 32, 32, 32, 32, 32, 4, 8, 1)
    inputs = (3, 64, 64, 128, 128, 256)
    for k in range(9):
        rows = np.unpackbits(arrays[f"w{k}_bits"], axis=1)
        if k < 6:
            rows = rows[:, : 9 * inputs[k]].reshape(len(rows), inputs[k], 9)
            rows = rows.transpose(0, 2, 1).reshape(len(rows), -1)
        limits = arrays.get(f"t{k}_ge")
        if limits is not None:
            limits = 2 * (limits - 1) if k == 0 else (limits + rows.shape[1]) // 2 - 1
        pack(tmp_path, k, rows, limits, elements[k], simd[k], height=64 if k == 8 else None)
    names = [str(name).strip() for name in arrays["classes"]]
    (tmp_path / "classes.txt").write_text("\n".join(names))
    options = Options(name="cnv", class_names=tuple(names))
    folder, whole = (lower(read(str(path)), options).net for path in (tmp_path, file))
    assert encode(folder) == encode(whole)


def two_layers(folder):
    rng = np.random.default_rng(4)
    pack(folder, 0, rng.integers(0, 2, (8, 64), np.uint8), np.full(8, 31), 4, 64)
    pack(folder, 1, rng.integers(0, 2, (4, 8), np.uint8), None, 2, 8)


def for_each(folder, pattern, numbers, kind="<u8"):
    for file in folder.glob(pattern):
        np.array(numbers, kind).tofile(file)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda f: (f / "0-2-weights.bin").unlink(), "0-2-weights.bin is missing"),
        (lambda f: (f / "0-3-thres.bin").write_bytes(b"123"), "64-bit words"),
        (lambda f: (f / "0-3-thres.bin").write_bytes(bytes(8)), "different sizes"),
        (lambda f: [file.unlink() for file in f.glob("0-*-thres.bin")], "no thresholds"),
        (lambda f: (f / "classes.txt").write_text("one\n" * 9), "9 classes"),
        (lambda f: (f / "classes.txt").write_text("one\n" * 2), "2 classes"),
        (lambda f: for_each(f, "0-0-weights.bin", [3] * 8), "different sizes"),
        (lambda f: for_each(f, "0-*-thres.bin", [0] * 4, "<i8"), "more than one bit"),
        (lambda f: for_each(f, "1-*-weights.bin", [2**39] * 2), "neither a 3x3"),
        (lambda f: [file.unlink() for file in f.iterdir()], "no files such as"),
        (lambda f: (f / "0-0-weights.bin").write_bytes(bytes(17 << 20)), "at most"),
    ],
)
def test_folders_that_do_not_fit_are_refused(change, match, tmp_path):
    two_layers(tmp_path)
    import_net(str(tmp_path), str(tmp_path / "net.mtjb"))
    (tmp_path / "net.mtjb").unlink()
    change(tmp_path)
    with pytest.raises(MtjkitError, match=match):
        import_net(str(tmp_path), str(tmp_path / "net.mtjb"))
    assert not (tmp_path / "net.mtjb").exists()
