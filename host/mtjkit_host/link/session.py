"""A session with one device: program the model, stream images, take results as they come.

with UnixPort() as link:
    session = Session(link)
    session.program(model_bytes, WriteConfig(seed=0, threshold=threshold))
    for result in session.classify(images):
        print(result.index, result.scores.argmax())
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from mtjkit_core import messages as m
from mtjkit_core.errors import ConfigError, LinkError, ProtocolError
from mtjkit_core.footprint import ram_bytes
from mtjkit_core.model import Model
from mtjkit_core.mtj_memory import FLIP, KEEP
from numpy.typing import NDArray

from mtjkit_host.link.link import Link
from mtjkit_host.link.requests import Peer, SilenceError
from mtjkit_host.link.stream import ImageResult, Stream
from mtjkit_host.simulate.simulator import write_weights

Int8 = NDArray[np.int8]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class WriteConfig:
    """How the device writes its memory."""

    seed: int = 0
    """Seed of every random stream, 0 <= seed < 2**64."""
    threshold: int = 0
    """Error rate of feature maps as an integer, 0 .. 2**32 (memory.threshold_from_rate)."""
    weight_threshold: int = 0
    """Error rate of the weights, likewise. They are written once, when the model is loaded."""
    errors: int = FLIP
    """memory.FLIP or memory.KEEP."""
    kernel: str = "auto"
    """auto, python, viper, asm_thumb or native."""

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 1 << 64:
            raise ConfigError(f"a seed lies between 0 and 2**64 - 1, not {self.seed}")
        for value in (self.threshold, self.weight_threshold):
            if not 0 <= value <= 1 << 32:
                raise ConfigError(f"an error threshold lies between 0 and 2**32, not {value}")
        if self.errors not in (FLIP, KEEP):
            raise ConfigError(f"errors are {FLIP} (flip) or {KEEP} (keep), not {self.errors}")
        if self.kernel not in m.KERNELS:
            raise ConfigError(f"kernel {self.kernel!r} is unknown: one of {', '.join(m.KERNELS)}")

    @property
    def weights(self) -> tuple[int, int, int] | None:
        """(seed, threshold, errors) of the weights; None if they are written without errors."""
        return (self.seed, self.weight_threshold, self.errors) if self.weight_threshold else None


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
    """(3,): feature-map bits written, toggled, wrong, of all images."""
    device_us: NDArray[np.int64]
    """(N,): time the device computed, microseconds."""
    kernel: str
    backend: str
    weight_bits_written: int
    weight_bits_wrong: int


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
        self._peer = Peer(link, timeout_s)
        self.info = self._peer.hello(hello_s)
        self.programmed: Programmed | None = None
        self._model: Model | None = None
        self._config = WriteConfig()

    def program(
        self, model: bytes, config: WriteConfig | None = None, progress: Progress | None = None
    ) -> Programmed:
        """Give the device its model and its configuration.

        The model is sent only if the device does not have it, with the same weight errors.

        Args:
            model: the bytes of an .mtjb file.
            config: how the device writes its memory.
            progress: called with (bytes sent, bytes in all) while the model is sent.

        Raises:
            FormatError: the bytes are no model.
            ConfigError: the device cannot run this: too little memory, no such kernel.
            LinkError, ProtocolError: the link.
        """
        self.programmed = None
        self._config = config or WriteConfig()
        self._model = Model(model)
        info = self.info = self._peer.hello(self._peer.timeout_s)
        if info.mapped:
            self.programmed = self._use_mapped(model)
            return self.programmed
        there = info.has_model and info.model_sha256 == hashlib.sha256(model).digest()
        send = not there or info.weights not in (None, self._config.weights)
        if send:
            work_bytes = ram_bytes(self._model, self._config.kernel)
            self._peer.upload(model, work_bytes, info.chunk, progress)
        self.programmed = self._configure(send)
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
        slots = self._configure(self.programmed.sent).slots
        return Stream(self._peer, self.info.chunk, slots, self._model.classes).run(images)

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
        counts = np.zeros(3, np.int64)
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

    def stop(self) -> None:
        """End the server on the device: a board goes back to its prompt."""
        try:
            self._peer.request(m.STOP, b"", m.DONE)
        except SilenceError:
            raise
        except LinkError:
            pass  # a process that ends takes its line with it

    def _use_mapped(self, model: bytes) -> Programmed:
        """Use the model in the board's mapped memory, where the host has written the weights."""
        config = self._config
        written = wrong = 0
        if config.weights and self._model:
            model, written, wrong = write_weights(self._model, *config.weights)
            self._config = replace(config, weight_threshold=0)
        if self.info.model_sha256 != hashlib.sha256(model).digest():
            raise ConfigError(
                f"{self.link.name}: another model, or other weight errors, are in this board's "
                "mapped memory: flash it with the run's --model, --weight-ber, --errors and --seed"
            )
        done = self._configure(sent=False)
        return replace(done, bits_written=written, bits_wrong=wrong) if written else done

    def _configure(self, sent: bool) -> Programmed:
        """Configure the device for a run of a new number."""
        config = self._config
        number = secrets.randbits(32)
        body = m.CONFIGURE.pack(
            number, config.seed, config.threshold, config.weight_threshold, config.errors,
            m.KERNELS.index(config.kernel),
        )  # fmt: skip
        answer = self._peer.request(
            m.CONFIGURE,
            body,
            m.CONFIGURED,
            accept=lambda frame: m.CONFIGURED.unpack(frame.body)[0] == number,
        )
        _, kernel, slots, zero, written, wrong = m.CONFIGURED.unpack(answer.body)
        if not slots or zero or kernel >= len(m.KERNELS):
            raise ProtocolError(f"CONFIGURED with kernel {kernel} and {slots} slots")
        return Programmed(m.KERNELS[kernel], slots, written, wrong, sent)
