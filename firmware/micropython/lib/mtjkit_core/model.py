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
        pixels: how a byte becomes an input value: 0 by the pixel rule, 1 by the pixel tables, 2 it
            is one already.
        tables_at: where the pixel tables lie in the file, in bytes; 0 without.
        scales_at: where scale and offset of each score lie, in bytes; 0 without.
        by_sign: whether one score decides between two classes by its sign.

    Raises:
        FormatError: the bytes break a rule of FORMAT.md.
    """

    def __init__(self, data, check_crc=True):
        from mtjkit_core.mtjb import read  # here, because a board forgets it

        parts = read(data, check_crc)
        self.data, self.version, self.name, self.class_names = parts[:4]
        self.input_shape, self.pixel_rule, self.layers = parts[4:7]
        self.pixels, self.tables_at, self.scales_at, self.by_sign = parts[7:]

    @property
    def classes(self) -> int:
        """Number of scores."""
        return self.layers[-1].out_channels

    @property
    def outcomes(self) -> int:
        """Classes that a prediction can name: one for each score, two where a sign decides."""
        return 2 if self.by_sign else self.classes

    @property
    def weight_bits(self) -> int:
        """Bits of all layers' weights, without padding."""
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
        words = [layer.map_words for layer in self.layers] + [0]
        return max(words[::2]), max(words[1::2])
