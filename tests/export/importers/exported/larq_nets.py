"""Writes the networks of this folder that larq exports: `python larq_nets.py FOLDER`.

Needs larq, tensorflow and tf-keras, and TF_USE_LEGACY_KERAS=1 in the environment. Each NAME.h5 is
what `model.save` wrote; NAME.npz holds images and the scores that TensorFlow gave for them.
"""

import sys
from pathlib import Path

import larq as lq
import numpy as np
import tensorflow as tf

K = tf.keras.layers
SIGN = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip", "use_bias": False}
BOTH = {"input_quantizer": "ste_sign", **SIGN}


def norm(**more):
    return K.BatchNormalization(**more)


def mlp():
    return [
        lq.layers.QuantDense(48, **SIGN), norm(scale=False),
        lq.layers.QuantDense(32, **BOTH), norm(scale=False),
        lq.layers.QuantDense(10, **BOTH), norm(scale=False), K.Activation("softmax"),
    ]  # fmt: skip


def vgg():
    return [
        lq.layers.QuantConv2D(8, 3, padding="same", **SIGN), norm(),
        lq.layers.QuantConv2D(8, 3, padding="same", pad_values=1, **BOTH), K.MaxPooling2D(2),
        norm(), lq.layers.QuantConv2D(16, 3, **BOTH), K.MaxPooling2D(2), norm(), K.Flatten(),
        lq.layers.QuantDense(32, **BOTH), norm(), lq.layers.QuantDense(10, **BOTH),
    ]  # fmt: skip


def lenet():
    return [
        lq.layers.QuantConv2D(6, 5, strides=2, **SIGN), norm(),
        lq.layers.QuantConv2D(16, 5, strides=2, padding="same", **BOTH), norm(), K.Flatten(),
        lq.layers.QuantDense(32, **BOTH), norm(), lq.layers.QuantDense(10, **BOTH),
    ]  # fmt: skip


def keywords():
    """Depthwise-separable, on maps of 49 frames and 10 coefficients."""
    depthwise = {
        "input_quantizer": "ste_sign",
        "depthwise_quantizer": "ste_sign",
        "use_bias": False,
    }
    return [
        lq.layers.QuantConv2D(16, (10, 4), strides=2, **SIGN), norm(),
        lq.layers.QuantDepthwiseConv2D(3, depth_multiplier=2, **depthwise), norm(),
        lq.layers.QuantConv2D(24, 1, **BOTH), norm(), lq.quantizers.SteSign(),
        K.GlobalAveragePooling2D(), lq.layers.QuantDense(12, **SIGN),
    ]  # fmt: skip


def detector():
    """One output, whose sign decides."""
    return [
        lq.layers.QuantDense(24, **SIGN), norm(), lq.layers.QuantDense(1, **BOTH),
        norm(scale=False), K.Activation("sigmoid"),
    ]  # fmt: skip


def samples():
    """A 1-D convolution over 187 samples."""
    return [
        lq.layers.QuantConv1D(8, 7, strides=2, **SIGN), norm(), K.MaxPooling1D(2),
        lq.layers.QuantConv1D(8, 5, **BOTH), K.MaxPooling1D(3), norm(), K.Flatten(),
        lq.layers.QuantDense(5, **BOTH),
    ]  # fmt: skip


NETS = {
    mlp: (64,),
    vgg: (14, 14, 3),
    lenet: (28, 28, 1),
    keywords: (49, 10, 1),
    detector: (40,),
    samples: (187, 1),
}
IMAGES = 16


def main():
    folder = Path(sys.argv[1])
    for make, shape in NETS.items():
        tf.keras.utils.set_random_seed(1)
        rng = np.random.default_rng(1)
        net = tf.keras.Sequential([K.InputLayer(shape), *make()])
        for layer in net.layers:
            if isinstance(layer, K.BatchNormalization):
                mean, var = (
                    rng.normal(0, 4, layer.moving_mean.shape),
                    rng.uniform(1, 30, layer.moving_mean.shape),
                )
                rest = [rng.normal(size=w.shape) for w in layer.trainable_weights]
                layer.set_weights([*rest, mean, var])
        path = folder / f"larq_{make.__name__}.h5"
        net.save(path)
        images = np.random.default_rng(2).integers(-128, 128, (IMAGES, *shape), np.int8)
        last = net.layers[-1]
        whole = isinstance(last, K.Activation)
        scores = tf.keras.Model(net.inputs, net.layers[-2].output if whole else last.output)
        values = scores.predict(images.astype(np.float32), verbose=0)
        np.savez_compressed(path.with_suffix(".npz"), images=images, scores=values)


if __name__ == "__main__":
    main()
