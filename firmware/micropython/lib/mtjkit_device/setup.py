"""What a host asks before images come: HELLO, the model, CONFIGURE.

A board forgets this module, and what it alone imports, once it is configured: while images run
their memory is free. It is imported again for the next request.
"""

import gc
import sys
from binascii import crc32

try:
    import machine
except ImportError:  # some ports have none
    machine = None

from mtjkit_core import forget
from mtjkit_core import messages as m
from mtjkit_core.errors import ConfigError, FormatError, ProtocolError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import LIMITS_BYTES, WriteErrors, unpack_limits

from mtjkit_device import board
from mtjkit_device.engine import Engine
from mtjkit_device.kernels import forget_kernels, load_kernel
from mtjkit_device.session import RefusedError, sha256
from mtjkit_device.transfers import Slot, Transfer

_MAY_REPACK = sys.maxsize >> 32 > 0  # the processor may have AVX2
_HEADROOM = 8192  # bytes of heap that slots leave alone


def answer(session, kind: int, seq: int, frame, size: int) -> tuple:
    """Do what a request says.

    Args:
        session: mtjkit_device.session.Session.
        kind, seq: of the request.
        frame, size: its frame buffer and the length of its body.

    Returns:
        (message, body): what answers it.

    Raises:
        MtjkitError: the request makes no sense, or cannot be met.
    """
    if kind == m.HELLO.kind:
        return m.INFO, _info(session, m.HELLO.unpack_frame(frame, size))
    if kind == m.CONFIGURE.kind:
        _configure(session, bytes(memoryview(frame)[m.BODY_AT : m.BODY_AT + size]))
        return m.CONFIGURED, session.answer
    if kind == m.WRITE_ERRORS.kind:
        _take_limits(session, m.WRITE_ERRORS.unpack_frame(frame, size))
    elif kind == m.MODEL_BEGIN.kind:
        _begin(session, *m.MODEL_BEGIN.unpack_frame(frame, size))
    elif kind == m.MODEL_END.kind:
        if session.incoming and session.incoming.left:
            return m.MISSING, m.MISSING.pack(m.THE_MODEL, *session.incoming.gap())
        if session.incoming:
            _finish(session)
        elif not session.model:
            raise RefusedError(m.NOT_READY, "MODEL_END without a MODEL_BEGIN")
    else:
        raise ProtocolError("message type 0x%02x is unknown" % kind)
    return m.DONE, m.DONE.pack(seq)


def _too_large(needed: int, free: int) -> RefusedError:
    """The refusal of what does not fit the memory."""
    return RefusedError(
        m.TOO_LARGE, "the model needs %d bytes of memory, %d are free" % (needed, free)
    )


def _name() -> str:
    """What the machine calls itself, at most 24 bytes."""
    text = getattr(sys.implementation, "_machine", sys.platform)
    if sys.platform == "linux" or sys.platform == "darwin":
        text = "MicroPython on " + sys.platform
    return text.encode()[:24]


def _unit() -> bytes:
    """Eight bytes that tell this board from others of its kind; zeros if it has no number."""
    if hasattr(machine, "unique_id"):
        return (machine.unique_id() + bytes(8))[:8]
    return bytes(8)


def _info(session, fields) -> bytes:
    """Body of the INFO that answers a HELLO.

    Raises:
        MtjkitError: the host speaks another version of the protocol, or another protocol.
    """
    if fields.magic != m.MAGIC:
        raise ProtocolError("HELLO without its magic bytes")
    if fields.version != m.VERSION:
        text = "the host speaks protocol version %d, this firmware speaks %d: use one mtjkit"
        raise RefusedError(m.WRONG_VERSION, text % (fields.version, m.VERSION))
    flags = session.flags | (m.HAS_MODEL if session.model else 0)
    flags |= m.MAPPED if session.mapped else 0
    flags |= m.PROGRAMMED if session.weights else 0
    return m.INFO.pack(
        version=m.VERSION,
        flags=flags,
        kernel=m.KERNELS.index(session.engine.kernel) if session.engine else 0,
        chunk=session.chunk,
        credit=session.credit,
        boot=session.boot,
        free=session.free,
        sha256=session.sha256,
        weights=session.weights_digest,
        unit=_unit(),
        board=_name(),
        used=session.used,
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


def _begin(session, size: int, work: int, digest: bytes) -> None:
    """Expect a model: MODEL_BEGIN's fields.

    Raises:
        RefusedError: there is no room for it.
    """
    if session.mapped:
        raise RefusedError(m.UNUSABLE, "the model is in mapped memory: flash another one")
    if session.incoming and digest == session.sha256 and size == len(session.incoming.data):
        return  # on its way already
    session.forget_model()
    free = board.free_bytes()
    try:
        if size + work > free:
            raise MemoryError
        session.incoming = Transfer(bytearray(size), session.chunk, session.copy)
    except MemoryError:
        raise _too_large(size + work, free)
    session.sha256 = digest


def _finish(session) -> None:
    """Take the model, now that all of it has come.

    Raises:
        RefusedError: the bytes are not the announced ones, or not a model.
    """
    data = session.incoming.data
    session.incoming = None
    if sha256 and sha256(data).digest() != session.sha256:
        raise RefusedError(m.BAD_MODEL, "the model arrived damaged: its SHA-256 differs")
    gc.collect()  # the reader's code is loaded now
    try:
        session.model = Model(data)
    except FormatError as error:
        raise RefusedError(m.BAD_MODEL, str(error))
    except MemoryError:
        text = "what reads the model does not fit the memory: %d bytes are free"
        raise RefusedError(m.TOO_LARGE, text % board.free_bytes())
    forget("mtjkit_core.mtjb")
    forget("mtjkit_core.bits")


def _take_limits(session, fields) -> None:
    """Keep what WRITE_ERRORS says for the CONFIGURE of the same run; again it changes nothing.

    Raises:
        RefusedError: there is no model, or the limits are not those of one like it.
    """
    if not session.model:
        raise RefusedError(m.NOT_READY, "no model is loaded")
    if fields.what > m.WEIGHT_LIMITS:
        from mtjkit_device.chip_setup import take  # few runs have it

        take(session, fields)
        return
    layers = len(session.model.layers) - (fields.what == m.MAP_LIMITS)
    if fields.first + fields.layers > layers:
        text = "fail limits of layers %d to %d; this network has %d"
        last = fields.first + fields.layers - 1
        raise RefusedError(m.UNUSABLE, text % (fields.first, last, layers))
    if fields.reserved or len(fields.data) != fields.layers * LIMITS_BYTES:
        text = "WRITE_ERRORS of %d layers with %d bytes of limits"
        raise RefusedError(m.BAD_REQUEST, text % (fields.layers, len(fields.data)))
    if session.limits_run != fields.run:
        session.limits_run = fields.run
        session.limits = [b"", b""]
    if not session.limits[fields.what]:
        session.limits[fields.what] = bytearray(layers * LIMITS_BYTES)
    at = fields.first * LIMITS_BYTES
    session.limits[fields.what][at : at + len(fields.data)] = fields.data


def _write_errors(session, fields):
    """The error process that CONFIGURE means.

    Raises:
        RefusedError: it needs limits that did not come.
        ConfigError: they are out of range.
    """
    if fields.kind & m.CHIP:
        from mtjkit_device.chip_setup import chip_errors

        return chip_errors(session, fields)
    limits = (fields.down, fields.up)
    weight_limits = (fields.weights_down, fields.weights_up)
    if fields.map_layers or fields.weight_layers:
        maps, weights = session.limits if session.limits_run == fields.run else (b"", b"")
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


def _configure(session, body: bytes) -> None:
    """Do what CONFIGURE says; the same body again changes nothing.

    Raises:
        RefusedError: there is no model, or it cannot be run like that.
    """
    if not session.model:
        raise RefusedError(m.NOT_READY, "no model is loaded")
    if body == session.configured:
        return
    session.configured = None
    fields = m.CONFIGURE.unpack(body)
    if fields.kernel >= len(m.KERNELS):
        raise RefusedError(m.UNUSABLE, "kernel number %d is unknown" % fields.kernel)
    try:
        errors = _write_errors(session, fields)
        errors.check_layers(len(session.model.layers))
        _build(session, m.KERNELS[fields.kernel])
        _program(session, errors.without_maps())
        session.engine.configure(errors)
    except ConfigError as error:
        raise RefusedError(m.UNUSABLE, str(error))
    for slot in session.slots:
        slot.begin(-1)
    kernel = m.KERNELS.index(session.engine.kernel)
    session.answer = m.CONFIGURED.pack(
        fields.run, kernel, len(session.slots), 0, *session.weight_bits
    )
    session.configured = body


def ram_bytes(model, kernel: str) -> int:
    """Bytes of heap that Engine(model, kernel) will allocate here; the kernel's code is loaded.

    Raises:
        ConfigError: the kernel cannot run here, or refuses a layer.
    """
    kind, name = load_kernel(kernel, model.layers)
    from mtjkit_core import footprint  # here, because it is forgotten first

    native = kind.memory_bytes(model) if name == "native" else -1
    return footprint.ram_bytes(model, name, False, native)


def _build(session, kernel: str) -> None:
    """Make the engine and as many slots as the memory has room for."""
    if session.engine and kernel in (session.kernel_asked, session.engine.kernel):
        return
    session.forget_engine()
    height, width, channels = session.model.input_shape
    size = height * width * channels
    forget_kernels()
    gc.collect()
    try:
        from mtjkit_core import footprint  # here, because it is forgotten at the end

        one_slot = footprint.slot_bytes(session.model, session.chunk)
        buffers = footprint.ram_bytes(session.model, kernel, _MAY_REPACK) + one_slot
        with _Reserved(buffers):  # so that code does not split the room of the buffers
            load_kernel(kernel, session.model.layers)
    except MemoryError:
        text = "the buffers and the code of kernel %s do not fit the memory: %d bytes are free"
        raise RefusedError(m.TOO_LARGE, text % (kernel, board.free_bytes()))
    needed = ram_bytes(session.model, kernel) + one_slot
    free = board.free_bytes()
    try:
        if needed > free:
            raise MemoryError
        session.engine = Engine(session.model, kernel, session.beat)
        while not session.slots or (
            len(session.slots) < footprint.MAX_IMAGES and board.free_bytes() >= one_slot + _HEADROOM
        ):
            session.slots.append(Slot(size, session.model.classes, session.chunk, session.copy))
    except MemoryError:
        session.forget_engine()
        raise _too_large(needed, free)
    session.kernel_asked = kernel
    forget("mtjkit_core.footprint")
    forget("mtjkit_device.kernels.viper_build")
    gc.collect()


def _program(session, errors) -> None:
    """Have the weights written with these errors: WriteErrors without those of maps."""
    key = errors.key() if errors.weights_fail else None
    if key == session.weights:
        if not key:
            session.weight_bits = (session.model.weight_bits, 0)
        return
    if session.mapped:
        raise ConfigError("the model is in mapped memory: flash it with its weight errors")
    if session.weights:
        raise RefusedError(m.NOT_READY, "the weights have other errors; send the model again")
    model, session.model = session.model, None  # half written, it is not a model any more
    session.weight_bits = session.engine.program(errors)
    session.model = model
    session.weights = key
    session.weights_digest = errors.weights_digest() if sha256 else bytes(20)
