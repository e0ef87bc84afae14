"""The error process of a memory: which of the bits written to it fail, as one value.

A write-error rate becomes an integer once, on the host: the fail limit round(rate * 2**32). Limits
come in pairs (down, up): down for cells that are written 0, up for cells that are written 1.
MEMORY.md says what a write does with them.
"""

import struct
from array import array

from mtjkit_core.errors import ConfigError

FLIP = 0  # an error inverts the written bit
KEEP = 1  # an error leaves the old bit, as a failed write of a real cell does

CERTAIN = 1 << 32  # the fail limit of a rate of 1: every bit fails, nothing is drawn
MAX_LAYERS = 64
LIMITS_BYTES = 16  # of a packed pair

WORDS = 5  # of one layer's process, as kernels take it
COUNTS = ("written", "toggled", "wrong", "ones_written", "up_toggled")
"""What a write counts, in bits. Toggled: the old bit differs from the intended one. Wrong: the
stored bit does. Ones written: the intended bit is 1. Up toggled: it is 1 and the old bit is 0."""

NO_LIMITS = ((0, 0),)


def fail_limit(rate: float) -> int:
    """Turn a write-error rate into the integer that kernels compare with: round(rate * 2**32).

    Raises:
        ConfigError: `rate` is not a number from 0 to 1.
    """
    if not 0 <= rate <= 1:
        raise ConfigError("a write-error rate must lie between 0 and 1, not " + str(rate))
    return round(rate * CERTAIN)


class WriteErrors:
    """How the writes of a run fail. A value: it never changes, and equal content is equal.

    Args:
        seed: of every random stream, 0 <= seed < 2**64.
        kind: FLIP or KEEP.
        limits: fail limits of feature maps, 0 .. 2**32 each: one number for all writes, one pair
            (down, up) for all layers, or a sequence of pairs, one for each hidden layer.
        weight_limits: the same of the weights, by layer. They are written once, when the model is
            programmed.

    Attributes:
        limits, weight_limits: tuples of pairs; of a single pair where all layers have the same.

    Raises:
        ConfigError: an argument is out of range.
    """

    plain = True  # False for chip_errors.ChipErrors

    def __init__(self, seed: int = 0, kind: int = FLIP, limits=0, weight_limits=0):
        if not 0 <= seed < 1 << 64:
            raise ConfigError("a seed lies between 0 and 2**64 - 1, not %d" % seed)
        if kind not in (FLIP, KEEP):
            raise ConfigError("the kind of errors is %d (flip) or %d (keep)" % (FLIP, KEEP))
        self.seed = seed
        self.kind = kind
        self.limits = pairs_of(limits)
        self.weight_limits = pairs_of(weight_limits)

    def key(self) -> tuple:
        """All that it says: processes with equal keys are equal."""
        return self.seed, self.kind, self.limits, self.weight_limits

    def __eq__(self, other) -> bool:
        return isinstance(other, WriteErrors) and self.key() == other.key()

    def __hash__(self) -> int:
        return hash(self.key())

    def __repr__(self) -> str:
        return "WriteErrors(%r, %r, %r, %r)" % self.key()

    @property
    def maps_fail(self) -> bool:
        """True if writes of feature maps can fail."""
        return self.limits != NO_LIMITS

    @property
    def weights_fail(self) -> bool:
        """True if writes of weights can fail."""
        return self.weight_limits != NO_LIMITS

    @property
    def can_fail(self) -> bool:
        """True if any write can fail."""
        return self.maps_fail or self.weights_fail

    def check_layers(self, layers: int) -> None:
        """Raise ConfigError unless the limits fit a network of this many layers."""
        check_count("feature maps", self.limits, layers - 1)
        check_count("weights", self.weight_limits, layers)

    def of_map(self, layer: int) -> tuple:
        """The limits (down, up) of a hidden layer's feature map."""
        return self.limits[layer if len(self.limits) > 1 else 0]

    def of_weights(self, layer: int) -> tuple:
        """The limits (down, up) of a layer's weights."""
        return self.weight_limits[layer if len(self.weight_limits) > 1 else 0]

    def map_words(self, layer: int):
        """The process of a hidden layer's map as kernels take it: see `words`."""
        return words(self.of_map(layer), self.kind)

    def weight_words(self, layer: int):
        """The process of a layer's weights as kernels take it: see `words`."""
        return words(self.of_weights(layer), self.kind)

    def without_maps(self):
        """The same process of weights; feature maps are written without errors."""
        return WriteErrors(self.seed, self.kind, 0, self.weight_limits)

    def with_perfect_weights(self):
        """The same process, but weights are written without errors."""
        return WriteErrors(self.seed, self.kind, self.limits)

    def weights_digest(self) -> bytes:
        """20 bytes that tell how the weights are written; zeros for weights without errors.

        SHA-256 of the seed (u64), the kind (u8) and the packed limits, cut off.
        """
        if not self.weights_fail:
            return bytes(20)
        from hashlib import sha256  # not on every board

        start = struct.pack("<QB", self.seed, self.kind)
        return sha256(start + pack_limits(self.weight_limits)).digest()[:20]


def words(pair: tuple, kind: int):
    """One write's process as kernels take it: array('I') of WORDS, mtj_write_errors of mtjkit.h.

    [down mod 2**32, up mod 2**32, 1 if down is certain, 1 if up is certain, kind]
    """
    down, up = pair
    return array("I", (down & 0xFFFFFFFF, up & 0xFFFFFFFF, down >> 32, up >> 32, kind))


def limits_of(words) -> tuple:
    """The pair of limits that `words` made words of."""
    return words[0] | words[2] << 32, words[1] | words[3] << 32


def pack_limits(pairs) -> bytes:
    """Pairs of limits as bytes: two u64 each, little-endian, down first."""
    return b"".join([struct.pack("<QQ", down, up) for down, up in pairs])


def unpack_limits(data) -> tuple:
    """The pairs that `pack_limits` made bytes of."""
    return tuple([struct.unpack_from("<QQ", data, at) for at in range(0, len(data), LIMITS_BYTES)])


def pairs_of(limits) -> tuple:
    """Limits in any of their forms as a tuple of pairs, as short as can be."""
    if isinstance(limits, int):
        limits = (limits, limits)
    try:
        pairs = tuple(limits)
    except TypeError:
        pairs = (limits,)
    if len(pairs) == 2 and isinstance(pairs[0], int):
        pairs = (pairs,)
    if not 1 <= len(pairs) <= MAX_LAYERS:
        raise ConfigError("limits of %d layers; 1 to %d are possible" % (len(pairs), MAX_LAYERS))
    pairs = tuple([_pair(pair) for pair in pairs])
    return pairs[:1] if all(pair == pairs[0] for pair in pairs) else pairs


def _pair(pair) -> tuple:
    try:
        down, up = pair
        good = isinstance(down, int) and isinstance(up, int)
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ConfigError("fail limits come in pairs of integers (down, up), not " + repr(pair))
    for limit in (down, up):
        if not 0 <= limit <= CERTAIN:
            raise ConfigError("a fail limit lies between 0 and 2**32, not %d" % limit)
    return down, up


def check_count(what: str, pairs: tuple, layers: int) -> None:
    """Raise ConfigError unless `pairs` are one, or one for each layer."""
    if len(pairs) not in (1, layers):
        raise ConfigError(
            "fail limits of %d layers for %s; this network has %d" % (len(pairs), what, layers)
        )


NO_ERRORS = WriteErrors()
