"""What the device was given to work with: the model, its engine, slots for images. No I/O."""

import gc
import sys
from binascii import crc32

from mtjkit_core import forget
from mtjkit_core import messages as m
from mtjkit_core.errors import ConfigError, FormatError, MtjkitError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import LIMITS_BYTES, WriteErrors, unpack_limits

from mtjkit_device import board
from mtjkit_device.engine import Engine, ram_bytes
from mtjkit_device.kernels import forget_kernels, load_kernel
from mtjkit_device.transfers import Slot, Transfer

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


def _limits_of(packed, layers: int) -> tuple:
    """The limits that came; CONFIGURE says for how many layers they are."""
    if len(packed) != layers * LIMITS_BYTES:
        text = "fail limits of %d layers; this network takes %d"
        raise ConfigError(text % (layers, len(packed) // LIMITS_BYTES))
    return unpack_limits(packed)


class _Reserved:
    """Memory in one piece that stays free for later: a context, whose end gives it back."""

    def __init__(self, size: int):
        self._piece = bytearray(size)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._piece = None


class Session:
    """A model on its way or there, and what was made for it.

    Args:
        chunk: data bytes of a frame.
        copy: mtjkit_core.frames.copy or its fast twin.
        beat: called between layers.

    Attributes:
        model: mtjkit_core.model.Model, or None.
        incoming: transfers.Transfer of the model while it comes, else None.
        sha256: of the model, as it was announced.
        mapped: the model lies in memory that cannot be written.
        weights: WriteErrors that the weights were written with, those of maps left out; None where
            they were written without errors.
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
        self.model = self.incoming = self.weights = None
        self._limits_run = -1  # run of the limits that came; see take_limits
        self._limits = [b"", b""]
        self.sha256 = bytes(32)
        self._forget_engine()
        data = board.mapped_model()
        self.mapped = data is not None
        if self.mapped:
            self.model = Model(data)
            forget("mtjb")
            if sha256:
                self.sha256 = sha256(data).digest()

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
        if self.incoming and digest == self.sha256 and size == len(self.incoming.data):
            return  # on its way already
        self.model = self.incoming = self.weights = None
        self._forget_engine()
        free = board.free_bytes()
        try:
            if size + work > free:
                raise MemoryError
            self.incoming = Transfer(bytearray(size), self._chunk, self._copy)
        except MemoryError:
            raise too_large(size + work, free)
        self.sha256 = digest

    def finish(self) -> None:
        """Take the model, now that all of it has come.

        Raises:
            RefusedError: the bytes are not the announced ones, or not a model.
        """
        data = self.incoming.data
        self.incoming = None
        if sha256 and sha256(data).digest() != self.sha256:
            raise RefusedError(m.BAD_MODEL, "the model arrived damaged: its SHA-256 differs")
        gc.collect()  # the reader's code is loaded now
        try:
            self.model = Model(data)
        except FormatError as error:
            raise RefusedError(m.BAD_MODEL, str(error))
        except MemoryError:
            text = "what reads the model does not fit the memory: %d bytes are free"
            raise RefusedError(m.TOO_LARGE, text % board.free_bytes())
        forget("mtjb")

    def weights_digest(self) -> bytes:
        """20 bytes that tell how the weights were written: WriteErrors.weights_digest.

        Zeros for weights without errors, and where the board has no SHA-256.
        """
        return self.weights.weights_digest() if self.weights and sha256 else bytes(20)

    def take_limits(self, fields) -> None:
        """Keep what WRITE_ERRORS says for the CONFIGURE of the same run; again it changes nothing.

        Raises:
            RefusedError: there is no model, or the limits are not those of one like it.
        """
        if not self.model:
            raise RefusedError(m.NOT_READY, "no model is loaded")
        if fields.what not in (m.MAP_LIMITS, m.WEIGHT_LIMITS):
            text = "WRITE_ERRORS of sort %d: this firmware has none"
            raise RefusedError(m.UNUSABLE, text % fields.what)
        layers = len(self.model.layers) - (fields.what == m.MAP_LIMITS)
        if fields.first + fields.layers > layers:
            text = "fail limits of layers %d to %d; this network has %d"
            last = fields.first + fields.layers - 1
            raise RefusedError(m.UNUSABLE, text % (fields.first, last, layers))
        if fields.reserved or len(fields.data) != fields.layers * LIMITS_BYTES:
            text = "WRITE_ERRORS of %d layers with %d bytes of limits"
            raise RefusedError(m.BAD_REQUEST, text % (fields.layers, len(fields.data)))
        if self._limits_run != fields.run:
            self._limits_run = fields.run
            self._limits = [b"", b""]
        if not self._limits[fields.what]:
            self._limits[fields.what] = bytearray(layers * LIMITS_BYTES)
        at = fields.first * LIMITS_BYTES
        self._limits[fields.what][at : at + len(fields.data)] = fields.data

    def _write_errors(self, fields):
        """The error process that CONFIGURE means.

        Raises:
            RefusedError: it needs limits that did not come.
            ConfigError: they are out of range.
        """
        limits = (fields.down, fields.up)
        weight_limits = (fields.weights_down, fields.weights_up)
        if fields.map_layers or fields.weight_layers:
            maps, weights = self._limits if self._limits_run == fields.run else (b"", b"")
            if not fields.map_layers:
                maps = b""
            if not fields.weight_layers:
                weights = b""
            if crc32(weights, crc32(maps)) & 0xFFFFFFFF != fields.crc:
                raise RefusedError(m.NOT_READY, "fail limits are missing: send WRITE_ERRORS first")
            if fields.map_layers:
                limits = _limits_of(maps, fields.map_layers)
            if fields.weight_layers:
                weight_limits = _limits_of(weights, fields.weight_layers)
        return WriteErrors(fields.seed, fields.kind, limits, weight_limits)

    def configure(self, fields) -> None:
        """Do what CONFIGURE says; its fields again change nothing.

        Raises:
            RefusedError: there is no model, or it cannot be run like that.
        """
        if not self.model:
            raise RefusedError(m.NOT_READY, "no model is loaded")
        if fields == self.configured:
            return
        self.configured = None
        if fields.kernel >= len(m.KERNELS):
            raise RefusedError(m.UNUSABLE, "kernel number %d is unknown" % fields.kernel)
        try:
            errors = self._write_errors(fields)
            errors.check_layers(len(self.model.layers))
            self._build(m.KERNELS[fields.kernel])
            self._program(errors.without_maps() if errors.weights_fail else None)
            self.engine.configure(errors)
        except ConfigError as error:
            raise RefusedError(m.UNUSABLE, str(error))
        for slot in self.slots:
            slot.begin(-1)
        self.answer = m.CONFIGURED.pack(
            fields.run, m.KERNELS.index(self.engine.kernel), len(self.slots), 0, *self._weight_bits
        )
        self.configured = fields

    def _build(self, kernel: str) -> None:
        """Make the engine and as many slots as the memory has room for."""
        if self.engine and kernel in (self._kernel_asked, self.engine.kernel):
            return
        self._forget_engine()
        height, width, channels = self.model.input_shape
        size = height * width * channels
        forget_kernels()
        gc.collect()
        try:
            from mtjkit_core import footprint  # here, because it is forgotten at the end

            one_slot = footprint.slot_bytes(self.model, self._chunk)
            buffers = footprint.ram_bytes(self.model, kernel, _MAY_REPACK) + one_slot
            with _Reserved(buffers):  # so that code does not split the room of the buffers
                load_kernel(kernel, self.model.layers)
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
        forget("footprint")
        gc.collect()

    def _program(self, wanted) -> None:
        """Have the weights written as wanted: WriteErrors, or None for no errors."""
        if wanted == self.weights:
            if not wanted:
                self._weight_bits = (self.model.weight_bits, 0)
            return
        if self.mapped:
            raise ConfigError("the model is in mapped memory: flash it with its weight errors")
        if self.weights:
            raise RefusedError(m.NOT_READY, "the weights have other errors; send the model again")
        model, self.model = self.model, None  # half written, it is not a model any more
        self._weight_bits = self.engine.program(wanted)
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
