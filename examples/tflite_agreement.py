"""How far an Fxp8 net's TFLite file is from the net, and which rounding makes the difference.

    python examples/tflite_agreement.py NET [DATA [IMAGES]]

NET: a fixed-point net's .safetensors file, or a training run's folder. DATA: CIFAR-10's test
images (default: the 500 that the project carries). Needs the extras ``train`` and ``tflite``.
The tables of export/TFLITE.md are its output.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from mtjkit_export.formats.safetensors import load_fixed
from mtjkit_export.formats.tflite.arithmetic import trace_int8
from mtjkit_export.formats.tflite.convert import export_tflite, score_step
from mtjkit_export.formats.tflite.run import KERNELS, measure_tflite, run_tflite
from mtjkit_host.datasets import cifar10
from mtjkit_host.paths import CARRIED_IMAGES
from mtjkit_host.simulate.simulator import open_simulator
from mtjkit_host.train import load_net
from mtjkit_host.train.lower import fold_fixed

BATCH = 50


def differences(net, images, rounding):
    """Share of each layer's codes that `rounding` makes differ from the ideal.

    For None: that differ from the net itself.
    """
    unlike, total = 0, 0
    for at in range(0, len(images), BATCH):
        batch = images[at : at + BATCH]
        _, ideal = trace_int8(net, batch)
        if rounding is None:
            simulator, trace = open_simulator(net), []
            simulator.run(batch, trace=trace)
            maps = simulator.elements(trace)
        else:
            _, maps = trace_int8(net, batch, rounding)
        pairs = zip(ideal, maps, strict=True)
        unlike += np.array([np.sum(a.reshape(b.shape) != b) for a, b in pairs])
        total += np.array([codes.size for codes in maps])
    return unlike / total


def main(net_path, data=CARRIED_IMAGES, count=None):
    path = Path(net_path)
    net = load_fixed(path) if path.is_file() else fold_fixed(load_net(path))
    images, labels = cifar10.load_test(data)
    images, labels = images[: count and int(count)], labels[: count and int(count)]
    expected, _ = open_simulator(net).run(images)
    right = expected.argmax(1) == labels
    step = score_step(net)
    print(f"{net.name}, {len(images)} images, accuracy {100 * right.mean():.2f} %")
    print(f"int8 step of the scores: {step:.4f}; largest score {abs(expected).max():.1f}")
    as_int8 = np.rint(expected / step).argmax(1) != expected.argmax(1)
    print(f"predictions that an int8 output would change: {as_int8.sum()}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "net.tflite"
        print(f"file: {len(export_tflite(net, file))} bytes")
        for kernels in list(KERNELS)[: 3 if len(images) <= 500 else 2]:
            scores = run_tflite(file, images, kernels)
            off = abs(scores - expected) / step
            differ = np.sum(scores.argmax(1) != expected.argmax(1))
            found = measure_tflite(file, images[:200], labels[:200], kernels=kernels)
            print(
                f"{kernels}: accuracy {100 * np.mean(scores.argmax(1) == labels):.2f} %, "
                f"{differ} predictions differ, scores off by {off.max():.3f} steps at most, "
                f"{np.sqrt(np.mean(off**2)):.3f} rms; {found.median_ms:.2f} ms an image "
                f"({found.low_ms:.2f} to {found.high_ms:.2f}), 1 thread, {found.interpreter}"
            )
    print("codes that differ, percent by layer:")
    for name in (None, "float32", "twice_up", "twice_away"):
        shares = differences(net, images[:100], name)
        print(f"  {name or 'once'}:", *(f"{100 * share:.3f}" for share in shares))


if __name__ == "__main__":
    main(*sys.argv[1:])
