"""The command `import`, and `from_torch`: a network of others to a model file, checked first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_export.cost import summary
from mtjkit_export.files import check_writable, refuse_pipe, write_atomically
from mtjkit_export.formats.mtjb_writer import encode
from mtjkit_export.importers.graph import Graph
from mtjkit_export.importers.inputs import parse_scale
from mtjkit_export.importers.lower import Lowered, Options, lower
from mtjkit_export.texts import file_name

from mtjkit_host.boards.catalog import processors
from mtjkit_host.datasets.dataset import Dataset
from mtjkit_host.datasets.images import images_for, load_images
from mtjkit_host.importing.check import check, check_known, check_predictions, random_images
from mtjkit_host.parse import image_shape, whole
from mtjkit_host.settings import decode_text

SIGNS = {None: None, "plus": 1.0, "minus": -1.0}
RANDOM_IMAGES = 32
LATER = {
    ".pt": "torch files hold code: read the module in Python, see docs/import.md",
    ".pth": "torch files hold code: read the module in Python, see docs/import.md",
    ".pkl": "a pickle can run any code: save the network as .onnx",
    ".tflite": "a TFLite file is not a source of binarized networks: save the network as .onnx",
}
"""What people have besides, and what to do."""


def import_net(
    file: str,
    output: str | None = None,
    *,
    name: str | None = None,
    input: str | None = None,
    shape: str | None = None,
    classes: str | None = None,
    sign_of_zero: str | None = None,
    binarize: bool = False,
    data: str | None = None,
    images: str | None = None,
) -> str:
    """Read a network, lower it, compare all scores with the original's, write a model file.

    Args:
        file: .onnx, .h5, .keras, .npz or a folder of FINN's parameters.
        output: the model file; default build/NAME.mtjb.
        name: the model's; default the file's.
        input: what the network takes for a byte: see `parse_scale`.
        shape: height x width x channels of the images of a network that takes a vector.
        classes: class names with commas, or a text file with one in each line.
        sign_of_zero: plus or minus: what a sign of 0 counts as.
        binarize: take the signs of weights that are not binarized.
        data: images to check with, besides random ones.
        images: how many of them.

    Returns:
        What was done, for people.

    Raises:
        ConfigError: the network cannot be imported, or a score differs; nothing is written.
        FormatError: a file is damaged.
    """
    if sign_of_zero not in SIGNS:
        raise ConfigError(f"--sign-of-zero {sign_of_zero}: plus or minus")
    count = None if images is None else whole("--images", images, 1, 10**6)
    options = Options(
        name=name or _short(Path(file).stem),
        scale=None if input is None else parse_scale(input),
        zero=SIGNS[sign_of_zero],
        binarize=binarize,
        quantize=data is not None,
        shape=None if shape is None else image_shape("--shape", shape),
        class_names=() if classes is None else _classes(classes),
    )
    path = Path(output) if output else Path("build") / f"{file_name(options.name)}.mtjb"
    check_writable(path)
    given = None if data is None else lambda model: load_images(data, model, count).told()
    return import_graph(read(file), options, path, given, str(data))


def from_torch(
    module: Any,
    example: Any,
    output: str | Path,
    *,
    name: str | None = None,
    input: str | None = None,
    shape: tuple[int, int, int] | None = None,
    classes: Sequence[str] = (),
    sign_of_zero: str | None = None,
    binarize: bool = False,
    images: Any = None,
) -> str:
    """Turn a torch module into a model file: as `import_net` does with a file, checked alike.

    Args:
        module: a torch.nn.Module: convolutions, linear layers, batch norm, signs, pooling. Weights
            that its forward pass binarizes are read as it binarizes them.
        example: a batch of one input, a tensor.
        output: the model file.
        name: the model's; default the file's.
        input: what the network takes for a byte: unit (p / 255, the default), bytes, signed, int8
            or mean=...,std=...
        shape: (height, width, channels) of the images of a network that takes a vector.
        classes: class names, one for each score.
        sign_of_zero: plus or minus: what a sign of 0 counts as.
        binarize: take the signs of weights that are not binarized.
        images: images to check with, besides random ones: see
            `mtjkit_host.datasets.images.images_for`.

    Returns:
        What was done, for people.

    Raises:
        ConfigError: the module cannot be imported, or a score differs; nothing is written.
    """
    from mtjkit_export.importers import torch_module

    if sign_of_zero not in SIGNS:
        raise ConfigError(f"sign_of_zero {sign_of_zero!r}: plus or minus")
    path = Path(output)
    options = Options(
        name=name or _short(path.stem),
        scale=None if input is None else parse_scale(input),
        zero=SIGNS[sign_of_zero],
        binarize=binarize,
        quantize=images is not None,
        shape=shape,
        class_names=tuple(classes),
    )
    given = None if images is None else lambda model: images_for(images, model)
    return import_graph(torch_module.from_torch(module, example), options, path, given, "yours")


def import_graph(
    graph: Graph,
    options: Options,
    path: Path,
    given: Callable[[Model], Dataset] | None = None,
    what: str = "",
) -> str:
    """Lower a graph, compare all scores with its own, write the model file.

    Args:
        graph: of a reader of `mtjkit_export.importers`.
        options: see `lower`.
        path: the model file.
        given: gives images to check with, besides random ones.
        what: what the report calls these.

    Returns:
        What was done, for people.

    Raises:
        ConfigError: the network cannot be imported, or a score differs; nothing is written.
    """
    lowered = lower(graph, options)
    compared = check(lowered, random_images(lowered, RANDOM_IMAGES), "random image")
    checked = f"{compared} scores of {RANDOM_IMAGES} random images"
    data_bytes = encode(lowered.net)
    if lowered.graph.known is not None:
        images_known, scores = lowered.graph.known
        compared = check_known(lowered, images_known, scores)
        checked += f", {compared} scores that are in the file"
    if given is not None:
        images = given(Model(data_bytes)).images
        compared = check(lowered, images, "image")
        if lowered.original is not None:
            count = check_predictions(lowered, images, what)
            lowered.notes.append(
                f"{lowered.rounded} are stored as int8: all {count} predictions of {what} are "
                "those of the original"
            )
        checked += f" and {compared} of {what}"
    write_atomically(path, data_bytes)
    return report(lowered, checked, path, data_bytes)


def read(file: str) -> Graph:
    """Read a file of any known kind into a graph.

    Raises:
        ConfigError: the file cannot be read, or is of another kind.
        FormatError: the file is damaged.
    """
    from mtjkit_export.importers.finn_arrays import read_arrays
    from mtjkit_export.importers.finn_folder import read_folder
    from mtjkit_export.importers.keras_file import read_keras
    from mtjkit_export.importers.onnx_file import read_onnx

    refuse_pipe(file)
    if Path(file).is_dir():
        return read_folder(file)
    readers = {".onnx": read_onnx, ".npz": read_arrays}
    readers |= dict.fromkeys((".h5", ".hdf5", ".keras"), read_keras)
    suffix = Path(file).suffix.lower()
    if suffix in LATER:
        raise ConfigError(f"{file}: {LATER[suffix]}")
    if suffix not in readers:
        raise ConfigError(
            f"{file}: expected .onnx, .h5 or .keras (Keras, larq), .npz (arrays) or a folder of "
            "FINN's parameters"
        )
    return readers[suffix](file)


def report(lowered: Lowered, checked: str, path: Path, data: bytes) -> str:
    """What was found, dropped and checked, and the model's size."""
    notes = "".join(f"  {note}\n" for note in lowered.notes)
    return (
        f"{path}: {len(data)} bytes\n{notes}  equal to the original: {checked}\n"
        f"{summary(Model(data), processors().values())}"
    )


def _short(stem: str) -> str:
    return stem.encode()[:32].decode(errors="ignore") or "imported"


def _classes(text: str) -> tuple[str, ...]:
    path = Path(text)
    try:
        if not path.is_file():
            lines = text.split(",")
        else:
            lines = decode_text(path.read_bytes(), f"--classes {text}").splitlines()
    except OSError as error:
        raise ConfigError(f"--classes {text}: {error.strerror or error}") from None
    return tuple(line.strip() for line in lines if line.strip())
