"""What a network predicts: the class that its scores decide for, to the bit on every machine."""

from mtjkit_core.bits import load_word

_LEAST = 31  # exponent field of the smallest scale: 2**-96
_MANTISSA = 24  # bits of a float32's mantissa


def predict(model, scores) -> int:
    """The class of an image: export/FORMAT.md, "Prediction".

    The float32 arithmetic of scales and offsets is done with integers, since not every board has
    float32, and a double that rounds at the end is another number.

    Args:
        model: mtjkit_core.model.Model.
        scores: the model's scores of the image.

    Returns:
        Number of the class: the lowest one of those with the highest value; where the sign of one
        score decides, 1 if it is at least 0, else 0.
    """
    best = highest = 0
    for c in range(model.classes):
        value = scores[c]
        if model.scales_at:
            value = _scaled(model.data, (model.scales_at >> 2) + 2 * c, value)
        if c == 0 or value > highest:
            best, highest = c, value
    return int(highest >= 0) if model.by_sign else best


def _scaled(data, at, score):
    """Score x scale + offset in float32; scale and offset are the words from `at` on."""
    scale = _units(load_word(data, at))
    offset = _units(load_word(data, at + 1))
    return _rounded(_rounded(_rounded(score) * scale) + offset)


def _units(bits):
    """A float32 within the format's bounds, given as its bits, in units of 2**-119."""
    if not bits << 1 & 0xFFFFFFFF:
        return 0
    number = (bits & 0x7FFFFF | 0x800000) << ((bits >> 23 & 255) - _LEAST)
    return -number if bits >> 31 else number


def _rounded(number):
    """The nearest number with a mantissa of 24 bits; of two the one whose mantissa is even."""
    surplus = len(bin(abs(number))) - 2 - _MANTISSA
    if surplus <= 0:
        return number
    half = 1 << (surplus - 1)
    rest = number & (2 * half - 1)
    mantissa = number >> surplus
    if rest > half or (rest == half and mantissa & 1):
        mantissa += 1
    return mantissa << surplus
