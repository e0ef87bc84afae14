"""What a net takes: images as pixels, or as the int8 input that the net's pixel rule makes."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.write_errors import WriteErrors
from numpy.typing import NDArray

from mtjkit_host.datasets.images import HasPixelRule, to_input


class _Net(HasPixelRule, Protocol):
    @property
    def input_shape(self) -> tuple[int, int, int]: ...
    @property
    def layers(self) -> Any: ...


def checked(
    net: _Net, images: NDArray[Any], indices: NDArray[Any] | None, errors: WriteErrors
) -> tuple[NDArray[np.int8], NDArray[np.uint32]]:
    """The int8 input and the indices of images, both as arrays in C order.

    Args:
        net: gives the input's shape and the pixel rule.
        images: uint8 pixels, or int8 with the pixel rule applied, (n, height, width, channels).
        indices: index of each image in the data, (n,); None for 0 to n - 1.
        errors: checked against the net's layers.

    Raises:
        ConfigError: the images are of another shape or type than the net takes, there is not one
            index for each, or the fail limits are those of another number of layers.
    """
    errors.check_layers(len(net.layers))
    if images.shape[1:] != tuple(net.input_shape) or images.dtype not in (np.uint8, np.int8):
        raise ConfigError(
            f"images are {images.dtype} {images.shape[1:]}, the net takes uint8 or int8 "
            f"{tuple(net.input_shape)}"
        )
    if indices is None:
        indices = np.arange(len(images))
    if indices.shape != (len(images),):
        raise ConfigError(f"{len(images)} images need as many indices, not {indices.shape}")
    inputs = to_input(net, images) if images.dtype == np.uint8 else images
    return np.ascontiguousarray(inputs, np.int8), np.ascontiguousarray(indices, np.uint32)
