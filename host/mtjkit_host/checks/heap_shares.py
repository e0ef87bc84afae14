"""Measures the [heap] table of a board.toml: the heap that the firmware's code takes on a board.

For each kernel: the bytes in use that no formula counts, for a model without layers (`code`) and
for every layer (`layer`); and how many more must be free for a moment while the code is loaded
(`loading`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np
from mtjkit_core import messages as m
from mtjkit_core.errors import MtjkitError
from mtjkit_core.footprint import slot_bytes
from mtjkit_core.model import Model
from mtjkit_export import BinaryLayer, BinaryNet, encode
from mtjkit_export.heap import counted_bytes

from mtjkit_host.boards.prompt import Board
from mtjkit_host.boards.unix_port import UnixPort
from mtjkit_host.link.link import Link
from mtjkit_host.link.session import Session
from mtjkit_host.parse import choice
from mtjkit_host.runs.emulated import flashed_board

KERNELS = m.KERNELS[1:]  # without auto
HELLO_S = 600.0  # an emulated Pico takes minutes to import the server on a busy machine
STEP = 1024  # bytes at which the search for the smallest heap stops


def deep(dense: int) -> Model:
    """A small network of one convolution and `dense` layers of 32 units."""
    layers = [BinaryLayer.conv(np.ones((32, 3, 3, 3), int), np.zeros(32), padding=1, pool=True)]
    inputs = 16 * 32
    shape: tuple[int, int, int] | None = (4, 4, 32)
    for _ in range(dense):
        ones = np.ones((32, inputs), int)
        layers.append(BinaryLayer.dense(ones, np.zeros(32), input_shape=shape))
        inputs, shape = 32, None
    layers.append(BinaryLayer.dense(np.ones((10, inputs), int)))
    return Model(encode(BinaryNet("deep", layers, input_shape=(8, 8, 3))))


class UnixDevice:
    """MicroPython's Unix port with a heap of 1 MB."""

    @contextmanager
    def server(self, taken: int = 0) -> Iterator[Link]:
        """A new server, `taken` bytes of its heap being in use for something else."""
        with UnixPort(heap=str((1 << 20) - taken)) as link:
            yield link


class BoardDevice:
    """A flashed board at a port."""

    def __init__(self, port: str) -> None:
        self.port = port

    @contextmanager
    def server(self, taken: int = 0) -> Iterator[Link]:
        """A new server, `taken` bytes of its heap being in use for something else."""
        with Board(self.port) as board:
            board.execute(f"f = open('/boot.py', 'w'); f.write('taken = bytearray({taken})')")
            board.execute("f.close()")
            board.restart()
        with Link.open(self.port) as link:
            yield link


Device = UnixDevice | BoardDevice


@contextmanager
def device(target: str, model: bytes) -> Iterator[Device]:
    """The target, prepared for models up to this one."""
    with nullcontext() if target == "unix" else flashed_board(target, model) as port:
        yield BoardDevice(port) if port else UnixDevice()


def measure(link: Link, model: Model, kernel: str) -> tuple[int, int, bool, int]:
    """(bytes in use, images that may be on their way, the model is mapped, bytes free)."""
    session = Session(link, hello_s=HELLO_S)
    done = session.program(bytes(model.data), kernel=kernel)
    info = Session(link, hello_s=HELLO_S).info
    return info.used_bytes, done.slots, info.mapped, info.free_bytes


def uncounted(link: Link, model: Model, kernel: str, avx2: bool) -> int:
    """Bytes in use that no formula counts."""
    used, slots, mapped, _ = measure(link, model, kernel)
    return used - counted_bytes(model, kernel, slots, mapped, avx2)


def loading(place: Device, model: Model, kernel: str) -> int:
    """Bytes that the smallest heap which the model runs with has beyond what one image needs."""
    with place.server() as link:
        used, slots, _, free = measure(link, model, kernel)
    needed = used - (slots - 1) * slot_bytes(model, m.CHUNK)
    most = used + free - needed
    low, high = most - 65536, most
    while high - low > STEP:
        middle = (low + high) // 2
        try:
            with place.server(middle) as link:
                measure(link, model, kernel)
            low = middle
        except MtjkitError:
            high = middle
    return most - low


def measure_heap(board: str, kernels: Sequence[str] = (), quick: bool = False) -> Iterator[str]:
    """Measure the heap shares of a board; yields the lines of its board.toml's [heap] table.

    Args:
        board: an emulated board whose firmware is built, or unix.
        kernels: which kernels; all if empty.
        quick: leave out `loading`, which takes a dozen starts of the board for each kernel.

    Raises:
        ConfigError: the board or a kernel is unknown, or the firmware is missing.
    """
    for kernel in kernels:
        choice("--kernel", kernel, KERNELS)
    shallow, layered = deep(1), deep(11)
    with device(board, bytes(shallow.data)) as place:
        for kernel in kernels or KERNELS:
            try:
                with place.server() as link:
                    few = uncounted(link, shallow, kernel, board == "unix")
                    many = uncounted(link, layered, kernel, board == "unix")
                layer = (many - few) / 10
                found = f"code = {few - 3 * layer:.0f}, layer = {layer:.0f}"
                if not quick:
                    found += f", loading = {loading(place, shallow, kernel)}"
            except MtjkitError as error:
                yield f"# {kernel}: {error}"
                continue
            yield f"{kernel} = {{ {found} }}"
