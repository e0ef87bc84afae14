"""Networks as plain arrays in an .npz file, as FINN's parameters are unpacked to.

For each layer k: `w{k}_bits`, rows of weights packed by numpy.packbits (most significant bit first,
1 is +1), `w{k}_shape` (out, in, height, width) or (out, in), and `t{k}_ge`, thresholds (out,): the
activation is +1 where the signed sum is at least the threshold. The last layer may have none. Where
shapes are missing, a layer is 3x3 or dense, by the length of its rows. `pool_after` names the
layers that 2x2 pooling follows; without it those of FINN's CNV, 1 and 3. A convolution reads
floor(256 p / 255 + 1/2) - 128 of 32 x 32 pixels p, a first dense layer +1 where p >= 128, else -1.
"""

from __future__ import annotations

import os
import zipfile
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError
from numpy.lib import format as npy

from mtjkit_export.files import file_errors
from mtjkit_export.importers.graph import (
    MAX_ELEMENTS,
    Array,
    Builder,
    Graph,
    checked_size,
    damaged,
    refuse,
)

MAX_LAYERS = 64
MAX_UNPACKED = 1 << 27
IMAGE_SIDE = 32
POOL_AFTER = (1, 3)
"""Of FINN's CNV: where nobody says."""


def read_arrays(path: str | os.PathLike[str]) -> Graph:
    """Read an .npz file.

    Raises:
        ConfigError: the file cannot be read, or holds another network than described above.
        FormatError: the file is damaged.
    """
    with file_errors(path, "read"):
        try:
            with zipfile.ZipFile(path) as archive:
                size = sum(entry.file_size for entry in archive.infolist())
                if size > MAX_UNPACKED:
                    raise refuse(f"{path} unpacks to {size} bytes: at most {MAX_UNPACKED}")
                for entry in archive.infolist():
                    _check_header(archive, entry)
            with np.load(path, allow_pickle=False) as stored:
                names = [name for name in stored.files if not name.startswith("act")]
                arrays = {name: stored[name] for name in names}
        except ConfigError:
            raise
        except Exception as error:  # zipfile, zlib and numpy let many kinds through
            raise damaged(f"{path}: damaged, or not an .npz file of arrays ({error})") from None
    if "w0_bits" not in arrays:
        raise refuse(f"{path} has no array 'w0_bits': see docs/import.md for the arrays it needs")
    try:
        return graph_of_arrays(arrays)
    except (KeyError, ValueError, IndexError, TypeError, OverflowError) as error:
        raise damaged(f"{path}: the arrays do not fit together ({error})") from None


def _check_header(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """An array may not be longer than what the archive holds: numpy allocates what is promised."""
    with archive.open(entry) as stream:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, kind = read(stream)
    if checked_size((*shape, max(1, kind.itemsize)), entry.filename) > entry.file_size:
        raise ValueError(f"{entry.filename} is shorter than its shape {shape}")


def graph_of_arrays(arrays: dict[str, Array]) -> Graph:
    """The network that arrays describe.

    Raises:
        ConfigError: it has too many layers.
        KeyError, ValueError, IndexError, TypeError: the arrays do not fit together.
    """
    count = sum(name.endswith("_bits") and name[0] == "w" for name in arrays)
    if count > MAX_LAYERS:
        raise refuse(f"{count} layers: at most {MAX_LAYERS}")
    first = _shape(arrays, 0, 3)
    more: dict[str, Any] = {}
    if len(first) == 4:
        more["input_scale"] = "unit"
        builder = Builder((1, first[1], IMAGE_SIDE, IMAGE_SIDE))
        builder.add("Mul", np.float32(256))
        builder.add("Sub", np.float32(128))
        builder.add("Quant", np.float32(1), np.float32(0), np.float32(8), signed=1)
    else:
        more["input_scale"] = "bytes"
        builder = Builder((1, first[1]))
        builder.add("Sub", np.float32(127.5))
        builder.add("BipolarQuant", np.float32(1))
        side = int(np.sqrt(first[1]))
        more["image_shape"] = (side, side, 1) if side * side == first[1] else None
    pools = [int(k) for k in arrays.get("pool_after", POOL_AFTER)]
    channels, flat = first[1], len(first) == 2
    for k in range(count):
        shape = _shape(arrays, k, channels)
        if len(shape) == 2 and not flat:
            builder.add("Flatten")
            flat = True
        inputs = checked_size(shape[1:], f"w{k}_shape")
        bits = np.unpackbits(arrays[f"w{k}_bits"], axis=1, count=inputs)
        weights = bits.reshape(shape).astype(np.float32) * 2 - 1
        if len(shape) == 4:
            builder.add("Conv", weights, kernel_shape=shape[2:], name=f"w{k}")
        else:
            builder.add("Gemm", weights, transB=1, name=f"w{k}")
        if f"t{k}_ge" in arrays:
            thresholds = arrays[f"t{k}_ge"].reshape(-1, 1)
            if thresholds.dtype.kind not in "iuf" or len(thresholds) != shape[0]:
                raise ValueError(f"t{k}_ge is not one number for each of {shape[0]} outputs")
            builder.add("MultiThreshold", thresholds.astype(np.float32), out_scale=2.0,
                        out_bias=-1.0)  # fmt: skip
        if k in pools and len(shape) == 4:
            builder.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
        channels = shape[0]
    names = tuple(str(name) for name in arrays.get("classes", ()))
    return Graph(
        tuple(builder.nodes), builder.constants, "input", builder.input_shape, builder.last,
        names, known=_known(arrays), **more,
    )  # fmt: skip


def _shape(arrays: dict[str, Array], k: int, channels: int) -> tuple[int, ...]:
    """Shape of a layer's weights: as the file says, else 3x3 or dense by the length of a row."""
    bits = arrays[f"w{k}_bits"]
    if bits.ndim != 2 or bits.dtype != np.uint8 or bits.size > MAX_ELEMENTS:
        raise ValueError(f"w{k}_bits is not rows of uint8")
    if f"w{k}_shape" in arrays:
        shape = tuple(int(n) for n in arrays[f"w{k}_shape"])
    elif bits.shape[1] == -(-9 * channels // 8):
        shape = (len(bits), channels, 3, 3)
    else:
        exact = k > 0 and bits.shape[1] == -(-channels // 8)
        shape = (len(bits), channels if exact else 8 * bits.shape[1])
    if len(shape) not in (2, 4) or len(bits) != shape[0] or min(shape) < 1:
        raise ValueError(f"w{k}_shape is {shape} for {len(bits)} rows")
    if bits.shape[1] != -(-checked_size(shape[1:], f"w{k}_shape") // 8):
        raise ValueError(f"w{k}_bits has {bits.shape[1]} bytes a row for {shape}")
    return shape


def _known(arrays: dict[str, Array]) -> tuple[Array, Array] | None:
    """Images and scores that the file holds to check with."""
    if "scores" not in arrays:
        return None
    if "pixels" in arrays:
        if arrays["pixels"].dtype != np.uint8:
            raise ValueError("pixels are not uint8")
        return arrays["pixels"], arrays["scores"]
    if "inputs_bits" in arrays:
        return np.unpackbits(arrays["inputs_bits"], axis=1) * np.uint8(255), arrays["scores"]
    return None
