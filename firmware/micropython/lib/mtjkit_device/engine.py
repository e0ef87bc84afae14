"""The engine: a model, its buffer memory and the kernel that does the work."""

from array import array

from mtjkit_core import footprint
from mtjkit_core.errors import ConfigError
from mtjkit_core.mtj_memory import CERTAIN, FLIP, KEEP
from mtjkit_core.streams import BUFFER, WEIGHTS, place_word

from mtjkit_device.kernels import load_kernel


def ram_bytes(model, kernel: str) -> int:
    """Bytes of heap that Engine(model, kernel) will allocate here; the kernel's code is loaded.

    Raises:
        ConfigError: the kernel cannot run here, or refuses a layer.
    """
    kind, name = load_kernel(kernel, model.layers)
    return footprint.ram_bytes(model, name, name == "native" and kind.repacks(model))


class Engine:
    """Classifies images through the emulated memory.

    Args:
        model: mtjkit_core.model.Model; `program` needs its data writable.
        kernel: auto, python, viper, asm_thumb or native.
        beat: called without arguments at every layer, so that a caller can show that it is alive;
            what it allocates, `run` allocates.

    Attributes:
        kernel: name of the kernel taken.
        scores: array('i'), the last image's scores.
        counts: array('I'), the last image's [written, toggled, wrong] feature-map bits.

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
        self._rate = array("I", bytes(12))
        self.scores = array("i", bytes(4 * model.classes))
        self.counts = array("I", bytes(12))
        self._kernel = kind(model)

    def configure(self, seed: int, threshold: int, errors: int) -> None:
        """Set the error process of the feature maps for the images to come.

        Args:
            seed: 0 <= seed < 2**64.
            threshold: error rate as an integer, 0 .. 2**32 (memory.threshold_from_rate).
            errors: memory.FLIP or memory.KEEP.

        Raises:
            ConfigError: an argument is out of range.
        """
        if not 0 <= seed < 1 << 64:
            raise ConfigError("a seed lies between 0 and 2**64 - 1, not %d" % seed)
        if not 0 <= threshold <= CERTAIN:
            raise ConfigError("an error threshold lies between 0 and 2**32, not %d" % threshold)
        if errors not in (FLIP, KEEP):
            raise ConfigError("errors are %d (flip) or %d (keep)" % (FLIP, KEEP))
        # Split here, once: on 32-bit ports these integers live on the heap.
        self._key[0] = seed & 0xFFFFFFFF
        self._key[1] = seed >> 32
        self._rate[0] = threshold & 0xFFFFFFFF
        self._rate[1] = threshold >> 32
        self._rate[2] = errors

    def program(self, seed: int, threshold: int, errors: int) -> tuple:
        """Write the model's weights into their memory, once, with errors: in place.

        Afterwards `configure` sets the feature maps' error process.

        Returns:
            (bits written, bits wrong).

        Raises:
            ConfigError: an argument is out of range, or the model's bytes are read-only.
        """
        self.configure(seed, threshold, errors)
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
            self._kernel.program(layer.index, self._state, self._rate, self.counts)
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
        kernel.erase(halves[0])
        kernel.erase(halves[1])
        source = image
        n = 0
        last = len(self.model.layers) - 1
        while n < last:
            kernel.layer_map(n, source, self._intended)
            if beat:
                beat()
            kernel.seed(self._state, self._key, index, place_word(BUFFER, n, 0))
            source = halves[n & 1]
            kernel.write(n, source, self._intended, self._state, self._rate, self.counts)
            n += 1
        kernel.layer_scores(last, source, self.scores)

    def _clear_counts(self) -> None:
        for i in range(3):
            self.counts[i] = 0
