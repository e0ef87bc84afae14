"""A session with one device: program the model, stream images, take results as they come.

with UnixPort() as link:
    session = Session(link)
    session.program(model_bytes, WriteErrors(seed=0, limits=fail_limit(0.024)))
    for result in session.classify(images):
        print(result.index, predict(model, result.scores))  # mtjkit_core.prediction
"""

from __future__ import annotations

import binascii
import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from mtjkit_core import messages as m
from mtjkit_core.errors import ConfigError, LinkError, ProtocolError
from mtjkit_core.footprint import ram_bytes
from mtjkit_core.model import Model
from mtjkit_core.write_errors import COUNTS, NO_ERRORS, WriteErrors
from numpy.typing import NDArray

from mtjkit_host.link.image_result import ImageResult
from mtjkit_host.link.link import Link
from mtjkit_host.link.requests import Requests, SilenceError, limit_parts
from mtjkit_host.link.stream import Stream

Int8 = NDArray[np.int8]
Progress = Callable[[int, int], None]
WrittenModel = Callable[[], tuple[Model, NDArray[np.int64]]]
"""What gives a model with its weights written, errors included, and the counts: COUNTS."""


@dataclass(frozen=True)
class Programmed:
    """What programming the model did."""

    kernel: str
    """Kernel the device took."""
    slots: int
    """Images that may be on their way at the same time."""
    bits_written: int
    """Weight bits written."""
    bits_wrong: int
    """Weight bits that differ from the intended ones."""
    sent: bool
    """The model was sent; False if the device had it already."""


@dataclass(frozen=True)
class RunResult:
    """All images of a run."""

    scores: NDArray[np.int32]
    """(N, classes), in the order of the images."""
    counts: NDArray[np.int64]
    """(5,): feature-map bits of all images, mtjkit_core.write_errors.COUNTS."""
    device_us: NDArray[np.int64]
    """(N,): time the device computed, microseconds."""
    kernel: str
    """The kernel that computed."""
    backend: str
    """Kind of the device, for results: serial, unix, ..."""
    weight_bits_written: int
    """Bits written when the weights were programmed."""
    weight_bits_wrong: int
    """Those among them that ended up wrong."""


def check_images(images: Int8, model: Model) -> None:
    """Raise ConfigError unless images are what a model takes: int8 (N, height, width, channels)."""
    if images.ndim != 4 or images.shape[1:] != model.input_shape:
        raise ConfigError(
            f"images of shape {images.shape[1:]}; the model takes {model.input_shape}"
        )
    if images.dtype != np.int8:
        raise ConfigError(f"images are int8, not {images.dtype}: apply the pixel rule first")


class Session:
    """A device behind a link.

    Args:
        link: an open link; the caller closes it.
        timeout_s: how long the device may be silent before it counts as gone.
        hello_s: the same for the first answer, which tells whether there is a device at all.

    Attributes:
        info: what the device said of itself.
        programmed: what `program` did, or None.

    Raises:
        LinkError: nothing answers.
        ProtocolError: the firmware speaks another protocol version.
    """

    def __init__(self, link: Link, timeout_s: float = 120.0, hello_s: float = 10.0) -> None:
        self.link = link
        self._requests = Requests(link, timeout_s)
        self._hello_s = hello_s
        self.info = self._requests.hello(hello_s)
        self.programmed: Programmed | None = None
        self._model: Model | None = None
        self._errors = self._on_device = NO_ERRORS
        """Of the run; and as the device takes it, which does not write weights that it maps."""
        self._kernel = "auto"

    def program(
        self,
        model: bytes,
        errors: WriteErrors = NO_ERRORS,
        kernel: str = "auto",
        *,
        written_model: WrittenModel | None = None,
        progress: Progress | None = None,
    ) -> Programmed:
        """Give the device its model and its configuration.

        The model is sent only if the device does not have it, with the same weight errors.

        Args:
            model: the bytes of an .mtjb file.
            errors: how the writes of the device's memory fail.
            kernel: auto, python, viper, asm_thumb, asm_rv32 or native.
            written_model: gives the file with its weights written as `errors` say. Only a board
                that maps its model read-only asks for it, where weights have errors: it was
                flashed with that file.
            progress: called with (bytes sent, bytes in all) while the model is sent.

        Raises:
            FormatError: `model` is not a model, or its bytes arrived damaged.
            ConfigError: the device cannot run it so, or it does not fit its memory.
            DeviceResetError: the device was reset meanwhile.
            LinkError, ProtocolError: the link.
        """
        self.programmed = None
        self._model = Model(model)
        if kernel not in m.KERNELS:
            raise ConfigError(f"kernel {kernel!r} is unknown: one of {', '.join(m.KERNELS)}")
        errors.check_layers(len(self._model.layers))
        self._errors = self._on_device = errors
        self._kernel = kernel
        self._requests.allow(kernel, self._model.macs)
        info = self.info = self._requests.hello(self._hello_s)
        if info.mapped:
            self.programmed = self._use_mapped(model, written_model)
            return self.programmed
        there = info.has_model and info.model_sha256 == hashlib.sha256(model).digest()
        wanted = errors.weights_digest() if errors.weights_fail else None
        send = not there or info.weights not in (None, wanted)
        if send:
            work_bytes = ram_bytes(self._model, kernel)
            self._requests.upload(model, work_bytes, info.chunk, progress, self._blocks)
        self.programmed = self._configure(errors, send)
        return self.programmed

    def classify(self, images: Int8, first_index: int = 0) -> Iterator[ImageResult]:
        """Classify images; yields results as they come, not always in order.

        Args:
            images: int8 (N, height, width, channels), the model's pixel rule already applied.
            first_index: index in the data of the first one.

        Raises:
            ConfigError: the images have another shape than the model's.
            DeviceResetError: the device was reset meanwhile.
            LinkError, ProtocolError: the link.
        """
        if self._model is None or self.programmed is None:
            raise ConfigError("program the device before it classifies")
        check_images(images, self._model)
        if not 0 <= first_index <= m.MAX_INDEX + 1 - len(images):
            raise ConfigError(f"indices of images lie between 0 and {m.MAX_INDEX}")
        return self.classify_these((first_index + k, x.tobytes()) for k, x in enumerate(images))

    def classify_these(self, images: Iterable[tuple[int, bytes]]) -> Iterator[ImageResult]:
        """The same for any (index, pixels), taken one by one as the device has room.

        Args:
            images: indices, all different, from 0 below 2**30; and int8 pixels in (y, x, channel)
                order, of the model's shape.
        """
        if self._model is None or self.programmed is None:
            raise ConfigError("program the device before it classifies")
        # A new run number: the device forgets the results it keeps, which may be of other images.
        slots = self._configure(self._on_device, self.programmed.sent).slots
        chunk, classes = self.info.chunk, self._model.classes
        return Stream(self._requests, chunk, slots, classes, self._blocks).run(images)

    def run(
        self, images: Int8, first_index: int = 0, progress: Progress | None = None
    ) -> RunResult:
        """Classify images and collect their results.

        Args:
            images, first_index: as in `classify`.
            progress: called with (results so far, images) after each.

        Raises:
            As `classify`.
        """
        if self._model is None or self.programmed is None:
            raise ConfigError("program the device before it classifies")
        scores = np.zeros((len(images), self._model.classes), np.int32)
        device_us = np.zeros(len(images), np.int64)
        counts = np.zeros(len(COUNTS), np.int64)
        for done, result in enumerate(self.classify(images, first_index), 1):
            scores[result.index - first_index] = result.scores
            device_us[result.index - first_index] = result.device_us
            counts += result.counts
            if progress:
                progress(done, len(images))
        return RunResult(
            scores=scores,
            counts=counts,
            device_us=device_us,
            kernel=self.programmed.kernel,
            backend=self.link.backend,
            weight_bits_written=self.programmed.bits_written,
            weight_bits_wrong=self.programmed.bits_wrong,
        )

    @property
    def _blocks(self) -> bool:
        """Whether data are sent behind a frame as they are."""
        return self.info.takes_blocks and self.link.loses_nothing

    def stop(self) -> None:
        """End the server on the device: a board goes back to its prompt."""
        try:
            self._requests.request(m.STOP, b"", m.DONE)
        except SilenceError:
            raise
        except LinkError:
            pass  # a process that ends takes its line with it

    def _use_mapped(self, model: bytes, written_model: WrittenModel | None) -> Programmed:
        """Use the model in the board's mapped memory, where the host has written the weights."""
        written = wrong = 0
        if self._errors.weights_fail:
            if written_model is None:
                raise ConfigError(
                    f"{self.link.name}: this board maps its model read-only; to program it with "
                    "weight errors takes the file with its weights written"
                )
            stored, counts = written_model()
            model = bytes(stored.data)
            written, _, wrong, *_ = counts.tolist()
            self._on_device = self._errors.with_perfect_weights()
        if self.info.model_sha256 != hashlib.sha256(model).digest():
            raise ConfigError(
                f"{self.link.name}: this board's mapped memory holds another model or other weight "
                "errors; flash it with the run's --model, --weight-error-rate, --errors "
                "and --seed"
            )
        done = self._configure(self._on_device, sent=False)
        return replace(done, bits_written=written, bits_wrong=wrong) if written else done

    def _configure(self, errors: WriteErrors, sent: bool) -> Programmed:
        """Configure the device for a run of a new number."""
        run = secrets.randbits(32)
        named: dict[str, Any] = {}
        for pairs, layers, down, up in (
            (errors.limits, "map_layers", "down", "up"),
            (errors.weight_limits, "weight_layers", "weights_down", "weights_up"),
        ):
            if len(pairs) == 1:
                named[down], named[up] = pairs[0]
            else:
                named[layers] = len(pairs)
        self._requests.send_limits(run, errors)
        kernel = m.KERNELS.index(self._kernel)
        kind = errors.kind | (0 if errors.plain else m.CHIP)
        crc = binascii.crc32(b"".join(limit_parts(errors)))
        body = m.CONFIGURE.pack(
            run=run, seed=errors.seed, kind=kind, kernel=kernel, crc=crc, **named
        )
        answer = self._requests.request(
            m.CONFIGURE,
            body,
            m.CONFIGURED,
            accept=lambda frame: m.CONFIGURED.unpack(frame.body).run == run,
        )
        done = m.CONFIGURED.unpack(answer.body)
        if not done.slots or done.reserved or done.kernel >= len(m.KERNELS):
            raise ProtocolError(f"CONFIGURED with kernel {done.kernel} and {done.slots} slots")
        return Programmed(m.KERNELS[done.kernel], done.slots, done.written, done.wrong, sent)
