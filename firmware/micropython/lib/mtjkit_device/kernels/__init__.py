"""The kernels: each computes the layers of a model and writes to the emulated memory.

The module of each name in KERNELS has a class `Kernel`; all give the same bits as the reference
in mtjkit_core. A kernel's module cannot be imported where the kernel cannot run. Modules `viper_*`,
`thumb_*` and `rv32_*` are parts of the kernels `viper`, `asm_thumb` and `asm_rv32`. The interface
of a kernel:

    Kernel.refuses(layer)               what of a layer it does not compute; "" for nothing
    Kernel.load(layers)                 loads code that only some networks need
    Kernel(model)                       allocates what it needs beyond the engine's buffers
    .layer_map(n, source, out)          intended output of hidden layer number n; `source` is the
                                        image (n = 0) or the half that layer n - 1 wrote
    .layer_scores(n, source, scores)    signed sums of the last layer, into array('i')
    .seed(state, key, image, place)     the eight streams of a place; place = place_word(m, n, 0)
    .write(n, cells, intended, state, errors, counts)    layer n's map, with errors
    .program(n, state, errors, counts)    layer n's weights, in place; the cells count as all 0
    .erase(halves, image)               all cells into the P state (0), before an image

`state` is array('I') of 32 words; `key` = array('I', [seed low, seed high]);
`errors` = array('I') as mtjkit_core.write_errors.words makes it; `counts` = array('I') of
write_errors.COUNTS, added to. LayerShape.numbers of mtjkit_core.geometry gives a layer as
flat small integers, which is what viper, assembler and C read. But for `python` and `program`, no
call but Kernel() allocates.
"""

import sys

from mtjkit_core import forget
from mtjkit_core.errors import ConfigError

KERNELS = ("native", "asm_thumb", "asm_rv32", "viper", "python")  # the best first
_PACKAGE = "mtjkit_device.kernels"
_PLAIN = ("reference", "mtj_memory", "streams", "bits")  # of mtjkit_core: the kernel `python`


def load_kernel(name: str, layers=()):
    """Class `Kernel` of the named kernel, and its name.

    "auto" is the best kernel that loads here and computes all of these layers.

    Raises:
        ConfigError: the kernel is unknown, cannot run here, or refuses a layer.
    """
    if name != "auto" and name not in KERNELS:
        raise ConfigError("kernel %r is unknown: auto or one of %s" % (name, ", ".join(KERNELS)))
    reason = ""
    for one in KERNELS if name == "auto" else (name,):
        try:
            kind = __import__("mtjkit_device.kernels." + one, None, None, ("Kernel",)).Kernel
        # A .mpy of another architecture raises ValueError, a missing emitter SyntaxError, and
        # CPython with a package called micropython AttributeError; viper's own is a TypeError.
        except (ImportError, SyntaxError, TypeError, ValueError, AttributeError) as error:
            reason = "kernel %s does not load here (%s)" % (one, error)
            continue
        for layer in layers:
            refused = kind.refuses(layer)
            if refused:
                reason = "kernel %s does not compute layer %d (%s)" % (one, layer.index, refused)
                forget_kernels()
                break
        else:
            if layers:
                kind.load(layers)
            return kind, one
    raise ConfigError(reason + ": try --kernel auto")


def forget_kernels() -> None:
    """Forget the kernels' code, so that the heap can be reused once no engine is left.

    A module in C stays: MicroPython does not give back what it links.
    """
    package = sys.modules[_PACKAGE]
    for name in list(sys.modules):
        if name.startswith(_PACKAGE + "."):
            del sys.modules[name]
            delattr(package, name[len(_PACKAGE) + 1 :])
    for name in _PLAIN:
        forget("mtjkit_core." + name)
