"""What the device was given to work with: the model, its engine, slots for images. No I/O.

`setup` fills a session; this module holds what images need.
"""

from mtjkit_core import forget
from mtjkit_core import messages as m
from mtjkit_core.errors import MtjkitError

from mtjkit_device import board

try:
    from hashlib import sha256
except ImportError:  # then the model's own CRC-32 has to do
    sha256 = None


class RefusedError(MtjkitError):
    """A request that cannot be met: an ERROR message's code and text."""

    def __init__(self, code: int, text: str):
        super().__init__(text)
        self.code = code


class Session:
    """A model on its way or there, and what was made for it.

    Args:
        line: serial_line.Line, or what has its `chunk` and `credit`.
        copy: mtjkit_core.frames.copy or its fast twin.
        beat: called between layers.

    Attributes:
        chunk, credit: of the line.
        boot: a number that is another after every start.
        flags: of INFO, beside those of the model.
        free, used: bytes of heap at the last request, set by the server.
        model: mtjkit_core.model.Model, or None.
        incoming: transfers.Transfer of the model while it comes, else None.
        sha256: of the model, as it was announced.
        mapped: the model lies in memory that cannot be written.
        weights: WriteErrors.key that the weights were written with; None where they were written
            without errors.
        weights_digest: WriteErrors.weights_digest, 20 bytes: zeros for weights without errors, and
            where the board has no SHA-256.
        weight_bits: (bits written, bits wrong) of the weights.
        limits_run: run of the limits that WRITE_ERRORS brought.
        limits: these limits, packed, of maps and of weights.
        engine: mtjkit_device.engine.Engine, or None.
        kernel_asked: the name of its kernel in CONFIGURE.
        slots: for images.
        configured: body of the CONFIGURE in force, or None.
        answer: body of the CONFIGURED that answers it.
    """

    def __init__(self, line, copy, beat):
        self.chunk = line.chunk
        self.credit = line.credit
        self.copy = copy
        self.beat = beat
        self.boot = board.boot_number()
        self.free = self.used = self.flags = 0
        self.weight_bits = (0, 0)
        self.limits_run = -1
        self.limits = [b"", b""]
        self.sha256 = bytes(32)
        self.forget_model()
        data = board.mapped_model()
        self.mapped = data is not None
        if self.mapped:
            from mtjkit_core.model import Model

            self.model = Model(data)
            forget("mtjkit_core.mtjb")
            forget("mtjkit_core.bits")
            if sha256:
                self.sha256 = sha256(data).digest()

    def forget_model(self) -> None:
        """Forget the model and all that was made for it."""
        self.model = self.incoming = self.weights = None
        self.weights_digest = bytes(20)
        self.forget_engine()

    def forget_engine(self) -> None:
        """Forget the engine and the slots, which take most of the memory."""
        self.engine = None
        self.slots = []
        self.configured = None
        self.answer = b""
        self.kernel_asked = ""

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
