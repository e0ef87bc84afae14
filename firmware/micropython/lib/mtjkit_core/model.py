"""A model in memory: what its file says, and where the data of its layers lie."""


class Model:
    """A model file in memory: header, layers, and where their data lie.

    Args:
        data: the whole file, bytes-like. It is kept, not copied.
        check_crc: False when the bytes are known to be good (a corrupted image of a model, say).

    Attributes:
        data: memoryview of the file.
        version: (major, minor) of its format.
        name, class_names: text, and a list of text, which may be empty.
        input_shape: (height, width, channels).
        pixel_rule: (mul, add, div).
        layers: list of mtjkit_core.geometry.LayerShape.

    Raises:
        FormatError: the bytes break a rule of FORMAT.md.
    """

    def __init__(self, data, check_crc=True):
        from mtjkit_core.mtjb import read  # here, because a board forgets it

        parts = read(data, check_crc)
        self.data, self.version, self.name, self.class_names = parts[:4]
        self.input_shape, self.pixel_rule, self.layers = parts[4:]

    @property
    def classes(self) -> int:
        """Number of scores."""
        return self.layers[-1].out_channels

    @property
    def weight_bits(self) -> int:
        """Weights of all layers, one bit each, without padding."""
        return sum(layer.weight_bits for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return sum(layer.macs for layer in self.layers)

    @property
    def map_bits(self) -> int:
        """Feature-map bits written for one image, without padding."""
        return sum(layer.map_bits for layer in self.layers)

    @property
    def half_words(self) -> tuple:
        """Words of the buffer's two halves: even layers write half 0, odd layers half 1."""
        return (
            max(layer.map_words for layer in self.layers[::2]),
            max(layer.map_words for layer in self.layers[1::2]),
        )
