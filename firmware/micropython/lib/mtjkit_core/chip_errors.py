"""The error process of a memory whose cells differ, lose bits, or are not erased.

A value beside `write_errors.WriteErrors`, for what most runs do not have: MEMORY.md, "Classes of
cells", "Disturb" and "Random bits before an image". A board loads it when a host asks for it.
"""

import struct

from mtjkit_core.errors import ConfigError
from mtjkit_core.write_errors import (
    FLIP,
    NO_LIMITS,
    WriteErrors,
    check_count,
    pack_limits,
    pairs_of,
    words,
)

CLASSES = 4
"""Classes of cells, all equally likely."""
BEFORE = 2  # memory numbers: what the feature maps' cells hold before an image,
BUFFER_CLASSES = 3  # classes of these cells ...
WEIGHT_CLASSES = 4  # ... and of the weights'

ERASED, RANDOM = 0, 1
"""What the feature maps' cells hold before an image: 0 everywhere, or random bits."""

PARTS = 4 + 2 * CLASSES
"""The most `ChipErrors.parts`."""


class ChipErrors(WriteErrors):
    """How the writes of a run fail on one chip, and which bits are disturbed. A value.

    Args:
        seed, kind: see WriteErrors.
        limits, weight_limits: see WriteErrors; left at 0 where there are classes.
        disturb: limits of the feature maps' stored bits, in any form that limits have: the pair
            (bits stored 0, bits stored 1) takes the place of (down, up).
        weight_disturb: the same of the weights.
        chip: seed of the cells' classes, 0 <= chip < 2**64; None where all cells are alike.
        classes: of a chip, the limits of feature maps of each of CLASSES classes.
        weight_classes: the same of weights; None for weights without errors.
        before: ERASED or RANDOM.

    Raises:
        ConfigError: an argument is out of range.
    """

    plain = False
    memories = (BUFFER_CLASSES, WEIGHT_CLASSES)

    def __init__(
        self,
        seed: int = 0,
        kind: int = FLIP,
        limits=0,
        weight_limits=0,
        disturb=0,
        weight_disturb=0,
        chip=None,
        classes=None,
        weight_classes=None,
        before: int = ERASED,
    ):
        if before not in (ERASED, RANDOM):
            text = "before an image cells are erased (%d) or hold random bits (%d), not %r"
            raise ConfigError(text % (ERASED, RANDOM, before))
        super().__init__(seed, kind, limits, weight_limits)
        self.disturb = pairs_of(disturb)
        self.weight_disturb = pairs_of(weight_disturb)
        self.chip = chip
        self.before = before
        self.classes = self.weight_classes = None
        if chip is None:
            if classes is not None or weight_classes is not None:
                raise ConfigError("classes of cells need the seed of their chip")
            return
        if not 0 <= chip < 1 << 64:
            raise ConfigError("a chip's seed lies between 0 and 2**64 - 1, not %d" % chip)
        if self.limits != NO_LIMITS or self.weight_limits != NO_LIMITS:
            raise ConfigError("a chip's fail limits are those of its classes")
        self.classes = _each(classes)
        self.weight_classes = _each(weight_classes)

    def key(self) -> tuple:
        """See WriteErrors.key."""
        return super().key() + (
            self.disturb,
            self.weight_disturb,
            self.chip,
            self.classes,
            self.weight_classes,
            self.before,
        )

    @property
    def maps_fail(self) -> bool:
        """True if bits of feature maps can become wrong."""
        return _any(self.limits, self.disturb, self.classes)

    @property
    def weights_fail(self) -> bool:
        """True if bits of weights can become wrong."""
        return _any(self.weight_limits, self.weight_disturb, self.weight_classes)

    def check_layers(self, layers: int) -> None:
        """See WriteErrors.check_layers."""
        for what, count, first, classes in (
            ("feature maps", layers - 1, (self.limits, self.disturb), self.classes),
            ("weights", layers, (self.weight_limits, self.weight_disturb), self.weight_classes),
        ):
            for pairs in first + (classes or ()):
                check_count(what, pairs, count)

    def map_disturb_words(self, layer: int):
        """What disturbs a hidden layer's map, as kernels take it: a write of kind FLIP."""
        return words(_of(self.disturb, layer), FLIP)

    def weight_disturb_words(self, layer: int):
        """The same of a layer's weights."""
        return words(_of(self.weight_disturb, layer), FLIP)

    def map_class_words(self, layer: int):
        """The process of a hidden layer's map by class, one array('I') of CLASSES processes."""
        return _joined(self.classes, layer, self.kind)

    def weight_class_words(self, layer: int):
        """The same of a layer's weights."""
        return _joined(self.weight_classes, layer, self.kind)

    def without_maps(self):
        """See WriteErrors.without_maps."""
        return ChipErrors(
            self.seed, self.kind, 0, self.weight_limits, 0, self.weight_disturb, self.chip, None,
            self.weight_classes,
        )  # fmt: skip

    def with_perfect_weights(self):
        """See WriteErrors.with_perfect_weights."""
        return ChipErrors(
            self.seed, self.kind, self.limits, 0, self.disturb, 0, self.chip, self.classes, None,
            self.before,
        )  # fmt: skip

    def weights_digest(self) -> bytes:
        """See WriteErrors.weights_digest: the packed `parts` of `without_maps` follow."""
        if not self.weights_fail:
            return bytes(20)
        from hashlib import sha256  # not on every board

        start = struct.pack("<QB", self.seed, self.kind) + pack_limits(self.weight_limits)
        rest = b"".join(self.without_maps().parts())
        return sha256(start + rest).digest()[:20]

    def parts(self) -> list:
        """What WriteErrors lacks, as a link carries it, packed pairs each; empty where absent.

        Disturb limits of maps and of weights; the fail limits of class 0 of maps, of weights, of
        class 1 of maps, and so on; the chip's seed, with 0 beside it. Where cells are not erased
        `before` follows, with 0 beside it.
        """
        found = [pack_limits(self.disturb), pack_limits(self.weight_disturb)]
        if self.chip is None:
            found.extend([b""] * (2 * CLASSES + 1))
        else:
            for both in zip(self.classes or (), self.weight_classes or ()):
                found.extend([pack_limits(pairs) for pairs in both])
            found.append(pack_limits(((self.chip, 0),)))
        if self.before:
            found.append(pack_limits(((self.before, 0),)))
        return found

    @staticmethod
    def of_parts(seed: int, kind: int, limits, weight_limits, parts):
        """The ChipErrors that has these `parts`, as pairs; () for an absent one.

        Raises:
            ConfigError: a number is out of range.
        """
        parts = list(parts) + [()] * (PARTS - len(parts))
        disturb, weight_disturb, *rest, chip, before = parts
        number = classes = weight_classes = None
        if chip:
            number, limits, weight_limits = chip[0][0], 0, 0
            classes = [rest[2 * k] for k in range(CLASSES)]
            weight_classes = [rest[2 * k + 1] for k in range(CLASSES)]
        before = before[0][0] if before else ERASED
        return ChipErrors(
            seed, kind, limits, weight_limits, disturb or 0, weight_disturb or 0, number, classes,
            weight_classes, before,
        )  # fmt: skip


def _of(pairs, layer: int) -> tuple:
    return pairs[layer if len(pairs) > 1 else 0]


def _each(classes) -> tuple:
    if classes is None:
        return (NO_LIMITS,) * CLASSES
    if len(classes) != CLASSES:
        raise ConfigError("a chip has %d classes of cells, not %d" % (CLASSES, len(classes)))
    return tuple([pairs_of(limits) for limits in classes])


def _any(limits, disturb, classes) -> bool:
    return any([pairs != NO_LIMITS for pairs in (limits, disturb) + (classes or ())])


def _joined(classes, layer: int, kind: int):
    found = words(_of(classes[0], layer), kind)
    for pairs in classes[1:]:
        found.extend(words(_of(pairs, layer), kind))
    return found
