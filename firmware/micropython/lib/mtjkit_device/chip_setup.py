"""What a host says of cells that differ, are disturbed or not erased: WRITE_ERRORS and CONFIGURE.

A part of `setup` that few runs have.
"""

from binascii import crc32

from mtjkit_core import forget
from mtjkit_core import messages as m
from mtjkit_core.errors import ConfigError
from mtjkit_core.write_errors import LIMITS_BYTES, unpack_limits

from mtjkit_device.session import RefusedError


def take(session, fields) -> None:
    """Keep one of the ChipErrors.parts for the CONFIGURE of the same run; see setup._take_limits.

    Raises:
        RefusedError: there is no such part, or something before it did not come.
    """
    from mtjkit_core.chip_errors import PARTS

    if not session.model:
        raise RefusedError(m.NOT_READY, "no model is loaded")
    part = fields.what
    if part >= m.CHIP_PARTS + PARTS:
        text = "WRITE_ERRORS of sort %d: this firmware has none"
        raise RefusedError(m.UNUSABLE, text % part)
    if session.limits_run != fields.run:
        session.limits_run = fields.run
        session.limits = [b"", b""]
    while len(session.limits) <= part:
        session.limits.append(b"")
    there = session.limits[part]
    at = fields.first * LIMITS_BYTES
    good = len(fields.data) == fields.layers * LIMITS_BYTES and at <= len(there)
    good = good and fields.first + fields.layers <= len(session.model.layers)
    if fields.reserved or not good:
        text = "WRITE_ERRORS of %d layers with %d bytes of limits"
        raise RefusedError(m.BAD_REQUEST, text % (fields.layers, len(fields.data)))
    session.limits[part] = there[:at] + bytes(fields.data) + there[at + len(fields.data) :]


def chip_errors(session, fields):
    """The error process that CONFIGURE means; see setup._write_errors.

    Raises:
        RefusedError: it needs something that did not come.
        ConfigError: a number is out of range.
    """
    from mtjkit_core.chip_errors import ChipErrors

    all_parts = session.limits if session.limits_run == fields.run else []
    crc = 0
    for part in all_parts:
        crc = crc32(part, crc)
    if len(all_parts) < m.CHIP_PARTS or crc & 0xFFFFFFFF != fields.crc:
        raise RefusedError(m.NOT_READY, "fail limits are missing: send WRITE_ERRORS first")
    maps, weights, *parts = [unpack_limits(part) for part in all_parts]
    if not maps:
        maps = ((fields.down, fields.up),)
    if not weights:
        weights = ((fields.weights_down, fields.weights_up),)
    for pairs, layers in ((maps, fields.map_layers), (weights, fields.weight_layers)):
        if len(pairs) != (layers or 1):
            text = "fail limits of %d layers; CONFIGURE says %d"
            raise ConfigError(text % (len(pairs), layers))
    found = ChipErrors.of_parts(fields.seed, fields.kind - m.CHIP, maps, weights, parts)
    forget("mtjkit_core.chip_errors")
    return found
