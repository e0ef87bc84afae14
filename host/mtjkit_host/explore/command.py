"""`invoke explore`: options as typed in, the page as a file."""

from __future__ import annotations

from mtjkit_export.files import write_atomically
from mtjkit_export.formats.mtjb_reader import load
from mtjkit_export.texts import file_name

from mtjkit_host import parse
from mtjkit_host.datasets.images import load_images
from mtjkit_host.explore.page import page
from mtjkit_host.mtj.cell_file import load_cell
from mtjkit_host.mtj.schemes import parse_scheme
from mtjkit_host.parse import Given
from mtjkit_host.paths import CARRIED_MODEL, carried_inputs
from mtjkit_host.runs.model_path import model_path

_WAYS = (("asano2024", "fixed"), ("asano2024", "terminated"), ("asano2024-spread", "fixed"))
_IMAGES = 500
_MOST_IMAGES = 2000  # 3 kB each in the page, and as much again as shown


def run_explore(
    model: Given = None,
    data: Given = None,
    images: Given = None,
    cell: Given = None,
    scheme: Given = None,
    output: Given = None,
) -> str:
    """Write the page; returns a line that says where.

    Raises:
        ConfigError, FormatError: an option, the model or the pictures cannot be used.
    """
    path = model_path(model or CARRIED_MODEL)
    net = load(path)
    target = parse.output_path("--output", output or f"build/{file_name(net.name)}-explorer.html")
    asked_for = None if images is None else parse.whole("--images", images, 1, _MOST_IMAGES)
    pictures = load_images(carried_inputs(path) if data is None else str(data), net, asked_for)
    pictures.told()
    if asked_for is None:
        pictures = pictures.take(min(_IMAGES, len(pictures)))
    asked = [(str(cell or "asano2024"), str(scheme or "fixed"))] if cell or scheme else []
    ways = [
        (f"{name}, {how}", load_cell(name), parse_scheme(how))
        for name, how in dict.fromkeys([*asked, *_WAYS])
    ]
    write_atomically(target, page(net, pictures, ways).encode())
    return f"{target}: open it in a browser; {len(pictures)} pictures, {net.name}"
