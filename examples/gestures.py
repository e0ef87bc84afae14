"""Synthetic accelerometer gestures: the data set of the carried net `gestures`.

    python examples/gestures.py build/gestures.npz

Nothing here was measured. Each window is 64 samples (1.28 s at 50 Hz) of a three-axis
accelerometer of +-2 g, made of a simple model: gravity in the direction of a device that is held at
random, the acceleration of one gesture along random directions, slow hand tremor, white noise, a
scale error and an offset for each axis. One step of int8 is 2 g / 128; what is beyond is clipped,
as a sensor does.

Classes and what is drawn for each window, uniformly:

    rest    nothing but tremor and noise
    tilt    the device turns by 50 to 130 degrees about a random axis, in 0.4 to 0.9 s
    shake   back and forth along a line, 3 to 6 Hz, 0.4 to 1.4 g
    circle  round in a plane, 1 to 2.5 Hz, 0.3 to 1.1 g
    flick   one push and its stop, each 60 to 160 ms, 0.5 to 1.5 g
    tap     two knocks, 160 to 360 ms apart, 0.6 to 1.8 g, that ring for about 30 ms

The file holds x_train (6,000 windows, int8, (n, 64, 1, 3)), y_train, x_test (2,000), y_test and
classes. The seed is fixed, so that the file is the same everywhere.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

CLASSES = ("rest", "tilt", "shake", "circle", "flick", "tap")
SAMPLES, RATE_HZ, STEPS_PER_G = 64, 50, 64
SEED = 2024


def directions(rng, count):
    """Unit vectors (count, 3), evenly over the sphere."""
    v = rng.standard_normal((count, 3))
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def across(rng, axis):
    """A random unit vector at right angles to each `axis`, (n, 3)."""
    v = np.cross(axis, directions(rng, len(axis)))
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def between(rng, low, high, count):
    """Uniform numbers as a column (count, 1)."""
    return rng.uniform(low, high, (count, 1))


def moved(rng, name, count, t):
    """Acceleration of a gesture in g, (count, SAMPLES, 3), and angle turned, (count, SAMPLES)."""
    along = directions(rng, count)
    aside = across(rng, along)
    phase = between(rng, 0, 2 * np.pi, count)
    middle = between(rng, 0.45, 0.83, count)
    zero = np.zeros((count, SAMPLES))
    first, second, angle = zero, zero, zero
    if name == "tilt":
        takes = between(rng, 0.4, 0.9, count)
        share = np.clip((t - middle) / takes + 0.5, 0, 1)
        angle = np.radians(between(rng, 50, 130, count)) * (1 - np.cos(np.pi * share)) / 2
    elif name in ("shake", "circle"):
        low, high = (3, 6) if name == "shake" else (1, 2.5)
        size = between(rng, 0.4, 1.4, count) if name == "shake" else between(rng, 0.3, 1.1, count)
        turn = 2 * np.pi * between(rng, low, high, count) * t + phase
        first = size * np.cos(turn)
        second = size * np.sin(turn) if name == "circle" else zero
    elif name == "flick":
        width = between(rng, 0.06, 0.16, count)
        x = (t - middle) / width
        first = -between(rng, 0.5, 1.5, count) * x * np.exp((1 - x**2) / 2)
    elif name == "tap":
        apart = between(rng, 0.16, 0.36, count)
        for at in (middle - apart / 2, middle + apart / 2):
            since = np.maximum(t - at, 0)
            ring = np.exp(-since / 0.03) * np.cos(2 * np.pi * 18 * since) * (t >= at)
            first = first + between(rng, 0.6, 1.8, count) * ring
    motion = first[..., None] * along[:, None] + second[..., None] * aside[:, None]
    return motion, angle


def windows(rng, name, count):
    """Windows of one class: int8 (count, SAMPLES, 1, 3)."""
    t = np.arange(SAMPLES) / RATE_HZ
    motion, angle = moved(rng, name, count, t)
    gravity = directions(rng, count)
    axis = across(rng, gravity)
    turned = np.cos(angle)[..., None] * gravity[:, None]
    turned = turned + np.sin(angle)[..., None] * np.cross(axis, gravity)[:, None]
    pace = 2 * np.pi * rng.uniform(0.5, 2, (count, 1, 3)) * t[:, None]
    tremor = rng.uniform(0, 0.06, (count, 1, 3)) * np.sin(
        pace + rng.uniform(0, 2 * np.pi, (count, 1, 3))
    )
    noise = rng.standard_normal((count, SAMPLES, 3)) * 0.03
    scale, offset = rng.normal(1, 0.03, (count, 1, 3)), rng.normal(0, 0.03, (count, 1, 3))
    g = (turned + motion + tremor + noise) * scale + offset
    steps = np.clip(np.rint(g * STEPS_PER_G), -128, 127)
    return steps.astype(np.int8).reshape(count, SAMPLES, 1, 3)


def part(rng, count):
    """Windows (count, 64, 1, 3) and labels (count,), in random order."""
    labels = np.arange(count) % len(CLASSES)
    x = np.empty((count, SAMPLES, 1, 3), np.int8)
    for number, name in enumerate(CLASSES):
        x[labels == number] = windows(rng, name, int((labels == number).sum()))
    order = rng.permutation(count)
    return x[order], labels[order].astype(np.uint8)


def gestures():
    """The whole data set: arrays by their names in the file."""
    rng = np.random.default_rng(SEED)
    x_train, y_train = part(rng, 6000)
    x_test, y_test = part(rng, 2000)
    return {
        "x_train": x_train,
        "y_train": y_train,
        "x_test": x_test,
        "y_test": y_test,
        "classes": np.array(CLASSES),
    }


def main(output):
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(output, **gestures())
    print(f"wrote {output}: 6,000 windows to train with, 2,000 for tests")


if __name__ == "__main__":
    main(*sys.argv[1:])
