"""The places of random streams. By itself, because boards draw without mtjkit_core.streams."""

STREAMS = 8  # of a place
BUFFER = 0  # memory numbers: feature maps ...
WEIGHTS = 1  # ... and weights


def place_word(memory: int, layer: int, stream: int) -> int:
    """The word that names a stream's place: memory (0 feature maps, 1 weights), layer, stream."""
    return memory << 16 | layer << 3 | stream
