"""The twin's two engines behind one interface: compiled C where it is to be had, else numpy."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.geometry import beyond_3x3
from mtjkit_core.model import Model
from mtjkit_core.write_errors import WriteErrors
from numpy.typing import NDArray

from mtjkit_host.simulate import binary_native as native
from mtjkit_host.simulate import binary_numpy as twin
from mtjkit_host.simulate import compile

ENGINES = ("auto", "native", "numpy")
MAX_MACS = {"native": 10**11, "numpy": 10**10}
"""Multiply-accumulates of one image, some seconds: 160 and 16 times those of the paper's Binary. A
file of kilobytes may ask for 10**13, which is hours."""


class AnyTwin(Protocol):
    """What `binary_numpy.Twin` and `binary_native.NativeTwin` both are."""

    kernel: str
    model: Model

    def run(
        self,
        images: NDArray[np.int8],
        indices: NDArray[np.uint32],
        errors: WriteErrors = ...,
        trace: list[NDArray[np.uint32]] | None = ...,
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Classify images through the memory; see mtjkit_host.simulate.binary_numpy.Twin.run."""
        ...


def open_twin(model: Model, engine: str = "auto") -> AnyTwin:
    """A model's twin.

    Args:
        model: mtjkit_core.model.Model.
        engine: native (needs a C compiler, or a library built earlier), numpy, or auto: the first
            that works here and computes all of the model's layers. They give the same bits.

    Raises:
        ConfigError: the engine is unknown, cannot run here, or the model is too large for it.
    """
    use_native = _use_native(engine)
    if engine == "auto" and any(beyond_3x3(layer) for layer in model.layers):
        use_native = False
    most = MAX_MACS["native" if use_native else "numpy"]
    if model.macs > most:
        raise ConfigError(
            f"model {model.name!r} takes {model.macs:.1e} multiply-accumulates an image; the host "
            f"computes up to {most:.0e}"
        )
    return native.NativeTwin(model) if use_native else twin.Twin(model)


def write_weights(
    model: Model, errors: WriteErrors, engine: str = "auto"
) -> tuple[bytes, int, int]:
    """Write a model's weights into MTJ cells once: see `binary_numpy.corrupt_weights`."""
    write = native.corrupt_weights if _use_native(engine) else twin.corrupt_weights
    return write(model, errors)


def _use_native(engine: str) -> bool:
    if engine not in ENGINES:
        raise ConfigError(f"engine {engine!r} is unknown: {', '.join(ENGINES)}")
    return engine == "native" or (engine == "auto" and compile.available())
