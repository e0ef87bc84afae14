"""The engine: a model, its buffer memory and the kernel that does the work."""

from array import array

from mtjkit_core.errors import ConfigError
from mtjkit_core.geometry import AVERAGES
from mtjkit_core.places import BUFFER, WEIGHTS, place_word
from mtjkit_core.write_errors import COUNTS

from mtjkit_device.kernels import load_kernel


class Engine:
    """Classifies images through the emulated memory.

    Args:
        model: mtjkit_core.model.Model; `program` needs its data writable.
        kernel: auto, python, viper, asm_thumb, asm_rv32 or native.
        beat: called without arguments at every layer, so that a caller can show that it is alive;
            what it allocates, `run` allocates.

    Attributes:
        kernel: name of the kernel taken.
        scores: array('i'), the last image's scores.
        counts: array('I'), the last image's feature-map bits: see write_errors.COUNTS.

    Raises:
        ConfigError: the kernel cannot run here, or refuses a layer.
    """

    def __init__(self, model, kernel="auto", beat=None):
        kind, self.kernel = load_kernel(kernel, model.layers)
        self.model = model
        self._beat = beat
        even, odd = model.half_words
        self._halves = (bytearray(4 * even), bytearray(4 * odd))
        self._intended = bytearray(4 * max(even, odd))
        self._state = array("I", bytes(128))
        self._key = array("I", bytes(8))
        self._errors = ()  # of each hidden layer's map, as kernels take it
        self.scores = array("i", bytes(4 * model.classes))
        self.counts = array("I", bytes(4 * len(COUNTS)))
        self._kernel = self._plain = kind(model)
        from mtjkit_core.write_errors import NO_ERRORS  # here, because a board forgets it

        self.configure(NO_ERRORS)

    def configure(self, errors) -> None:
        """Set the error process of the feature maps for the images to come.

        Args:
            errors: mtjkit_core.write_errors.WriteErrors, or chip_errors.ChipErrors.

        Raises:
            ConfigError: its limits are those of another number of layers.
        """
        errors.check_layers(len(self.model.layers))
        self._kernel = self._plain
        if not errors.plain:
            from mtjkit_device.kernels.chip import ChipKernel  # few runs have it

            self._kernel = ChipKernel(self._plain, self.kernel, self.model, errors)
        # Split here, once: on 32-bit ports these integers live on the heap.
        self._key[0] = errors.seed & 0xFFFFFFFF
        self._key[1] = errors.seed >> 32
        hidden = len(self.model.layers) - 1
        if len(errors.limits) == 1:
            self._errors = [errors.map_words(0)] * hidden
        else:
            self._errors = [errors.map_words(n) for n in range(hidden)]

    def program(self, errors) -> tuple:
        """Write the model's weights into their memory, once, with errors: in place.

        Afterwards `configure` sets the feature maps' error process.

        Args:
            errors: mtjkit_core.write_errors.WriteErrors.

        Returns:
            (bits written, bits wrong).

        Raises:
            ConfigError: the limits are those of another number of layers, or the model's bytes
                are read-only.
        """
        self.configure(errors)
        try:
            self.model.data[0] = self.model.data[0]
        except TypeError:
            raise ConfigError("the model is mapped read-only: let the host program its weights")
        written = wrong = 0
        for layer in self.model.layers:
            if self._beat:
                self._beat()
            place = place_word(WEIGHTS, layer.index, 0)
            self._kernel.seed(self._state, self._key, 0, place)
            self._clear_counts()
            words = errors.weight_words(layer.index)
            self._kernel.program(layer.index, self._state, words, self.counts)
            written += self.counts[0]
            wrong += self.counts[2]
        return written, wrong

    def run(self, image, index: int) -> None:
        """Classify an image: sets `scores` and `counts`.

        Args:
            image: int8 pixels (bytes-like) in (y, x, channel) order, of the model's shape.
            index: index of the image in the data, 0 <= index < 2**30.
        """
        kernel = self._kernel
        halves = self._halves
        beat = self._beat
        self._clear_counts()
        kernel.erase(halves, index)
        source = image
        n = 0
        layers = self.model.layers
        last = len(layers) - 1
        while n < last:
            kernel.layer_map(n, source, self._intended)
            if beat:
                beat()
            if layers[n].output == AVERAGES:  # never in the memory
                source = self._intended
            else:
                kernel.seed(self._state, self._key, index, place_word(BUFFER, n, 0))
                source = halves[n & 1]
                kernel.write(n, source, self._intended, self._state, self._errors[n], self.counts)
            n += 1
        kernel.layer_scores(last, source, self.scores)

    def _clear_counts(self) -> None:
        for i in range(len(self.counts)):
            self.counts[i] = 0
