"""What the device was given to work with: the model, its engine, slots for images. No I/O."""

import gc
import sys

from mtjkit_core import footprint
from mtjkit_core import messages as m
from mtjkit_core.errors import ConfigError, FormatError, MtjkitError
from mtjkit_core.model import Model

from mtjkit_device import board
from mtjkit_device.engine import Engine, ram_bytes
from mtjkit_device.kernels import forget_kernels, load_kernel
from mtjkit_device.transfers import Inbox, Slot

try:
    from hashlib import sha256
except ImportError:  # then the model's own CRC-32 has to do
    sha256 = None

_MAY_REPACK = sys.maxsize >> 32 > 0  # the processor may have AVX2
_HEADROOM = 8192  # bytes of heap that slots leave alone


class RefusedError(MtjkitError):
    """A request that cannot be met: an ERROR message's code and text."""

    def __init__(self, code: int, text: str):
        super().__init__(text)
        self.code = code


def too_large(needed: int, free: int) -> RefusedError:
    """The refusal of what does not fit the memory."""
    return RefusedError(
        m.TOO_LARGE, "the model needs %d bytes of memory, %d are free" % (needed, free)
    )


def _load(kernel: str, model, piece: bytearray) -> None:
    """Load a kernel's code; meanwhile `piece` keeps memory in one piece for what comes then."""
    load_kernel(kernel, model.layers)


class Workplace:
    """A model on its way or there, and what was made for it.

    Args:
        chunk: data bytes of a frame.
        copy: mtjkit_core.frames.copy or its fast twin.
        beat: called between layers.

    Attributes:
        model: mtjkit_core.model.Model, or None.
        inbox: of the model while it comes, else None.
        digest: SHA-256 of the model, as it was announced.
        mapped: the model lies in memory that cannot be written.
        weights: (seed, threshold, errors) that the weights were written with; None: no errors.
        engine: mtjkit_device.engine.Engine, or None.
        slots: for images.
        configured: fields of the CONFIGURE in force, or None.
        answer: body of the CONFIGURED that answers it.
    """

    def __init__(self, chunk: int, copy, beat):
        self._chunk = chunk
        self._copy = copy
        self._beat = beat
        self._weight_bits = (0, 0)
        self.model = self.inbox = self.weights = None
        self.digest = bytes(32)
        self._forget_engine()
        data = board.mapped_model()
        self.mapped = data is not None
        if self.mapped:
            self.model = Model(data)
            if sha256:
                self.digest = sha256(data).digest()

    def _forget_engine(self) -> None:
        self.engine = None
        self.slots = []
        self.configured = None
        self.answer = b""
        self._kernel_asked = ""

    def begin(self, size: int, work: int, digest: bytes) -> None:
        """Expect a model: MODEL_BEGIN's fields.

        Raises:
            RefusedError: there is no room for it.
        """
        if self.mapped:
            raise RefusedError(m.UNUSABLE, "the model is in mapped memory: flash another one")
        if self.inbox and digest == self.digest and size == len(self.inbox.data):
            return  # on its way already
        self.model = self.inbox = self.weights = None
        self._forget_engine()
        free = board.free_bytes()
        try:
            if size + work > free:
                raise MemoryError
            self.inbox = Inbox(bytearray(size), self._chunk, self._copy)
        except MemoryError:
            raise too_large(size + work, free)
        self.digest = digest

    def finish(self) -> None:
        """Take the model, now that all of it is in the inbox.

        Raises:
            RefusedError: the bytes are not the announced ones, or no model.
        """
        data = self.inbox.data
        self.inbox = None
        if sha256 and sha256(data).digest() != self.digest:
            raise RefusedError(m.BAD_MODEL, "the bytes that came have another SHA-256")
        try:
            self.model = Model(data)
        except FormatError as error:
            raise RefusedError(m.BAD_MODEL, str(error))

    def configure(self, fields: tuple) -> None:
        """Do what CONFIGURE says; its fields again change nothing.

        Raises:
            RefusedError: there is no model, or it cannot be run like that.
        """
        if not self.model:
            raise RefusedError(m.NOT_READY, "no model is loaded")
        if fields == self.configured:
            return
        self.configured = None
        run, seed, threshold, weight_threshold, errors, kernel = fields
        if kernel >= len(m.KERNELS):
            raise RefusedError(m.UNUSABLE, "kernel number %d is unknown" % kernel)
        try:
            self._build(m.KERNELS[kernel])
            self._program((seed, weight_threshold, errors) if weight_threshold else None)
            self.engine.configure(seed, threshold, errors)
        except ConfigError as error:
            raise RefusedError(m.UNUSABLE, str(error))
        for slot in self.slots:
            slot.begin(-1)
        self.answer = m.CONFIGURED.pack(
            run, m.KERNELS.index(self.engine.kernel), len(self.slots), 0, *self._weight_bits
        )
        self.configured = fields

    def _build(self, kernel: str) -> None:
        """Make the engine and as many slots as the memory has room for."""
        if self.engine and kernel in (self._kernel_asked, self.engine.kernel):
            return
        self._forget_engine()
        height, width, channels = self.model.input_shape
        size = height * width * channels
        one_slot = footprint.slot_bytes(self.model, self._chunk)
        forget_kernels()
        gc.collect()
        try:
            buffers = footprint.ram_bytes(self.model, kernel, _MAY_REPACK) + one_slot
            _load(kernel, self.model, bytearray(buffers))
        except MemoryError:
            text = "the buffers and the code of kernel %s do not fit the memory: %d bytes are free"
            raise RefusedError(m.TOO_LARGE, text % (kernel, board.free_bytes()))
        needed = ram_bytes(self.model, kernel) + one_slot
        free = board.free_bytes()
        try:
            if needed > free:
                raise MemoryError
            self.engine = Engine(self.model, kernel, self._beat)
            while not self.slots or (
                len(self.slots) < footprint.MAX_IMAGES
                and board.free_bytes() >= one_slot + _HEADROOM
            ):
                self.slots.append(Slot(size, self.model.classes, self._chunk, self._copy))
        except MemoryError:
            self._forget_engine()
            raise too_large(needed, free)
        self._kernel_asked = kernel
        gc.collect()

    def _program(self, wanted) -> None:
        """Have the weights written as wanted: (seed, threshold, errors), None for no errors."""
        if wanted == self.weights:
            if not wanted:
                self._weight_bits = (self.model.weight_bits, 0)
            return
        if self.mapped:
            raise ConfigError("the model is in mapped memory: flash it with its weight errors")
        if self.weights:
            raise RefusedError(m.NOT_READY, "the weights have other errors: send the model again")
        model, self.model = self.model, None  # half written, it is no model any more
        self._weight_bits = self.engine.program(*wanted)
        self.model = model
        self.weights = wanted

    def slot(self, number: int):
        """The slot of that number.

        Raises:
            RefusedError: there is no configuration yet, or no such slot.
        """
        if not self.configured:
            raise RefusedError(m.NOT_READY, "not configured")
        if number >= len(self.slots):
            raise RefusedError(m.BAD_REQUEST, "slot %d of %d" % (number, len(self.slots)))
        return self.slots[number]
