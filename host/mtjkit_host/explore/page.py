"""The page of `invoke explore`: a net, pictures, cells and schemes in one HTML file.

Python computes what follows from cells and schemes, at PULSES pulse widths each: fail limits,
energies. The page computes the net, by the same C as everywhere (see explore/wasm.py).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.geometry import STORED
from mtjkit_core.model import Model
from mtjkit_core.write_errors import FLIP, KEEP, NO_ERRORS, WriteErrors, fail_limit
from numpy.typing import NDArray

from mtjkit_host.datasets.dataset import Dataset
from mtjkit_host.datasets.images import to_input
from mtjkit_host.explore.wasm import wasm
from mtjkit_host.mtj.cell import REFERENCE_RATE, Cell
from mtjkit_host.mtj.scheme import Scheme, Traffic
from mtjkit_host.mtj.schemes import reference_write
from mtjkit_host.simulate.binary_native import c_layers
from mtjkit_host.simulate.simulator import open_simulator

PULSES = 121
"""Pulse widths of a cell under a scheme, even in the logarithm of the error rate."""
_LONGEST, _SHORTEST = REFERENCE_RATE, 0.5  # rates
_CHECK = WriteErrors(1, FLIP, fail_limit(0.024))
"""What page and simulator both compute, to compare their scores."""
_HERE = Path(__file__).parent


def page(net: Model, data: Dataset, ways: list[tuple[str, Cell, Scheme]]) -> str:
    """The HTML file's text.

    Args:
        net: a binary net.
        data: its pictures, with labels.
        ways: name, cell and scheme of what can be chosen; the first is chosen.

    Raises:
        ConfigError: the pictures have no labels, or a cell lacks energies.
    """
    if data.labels is None:
        raise ConfigError(f"{data.source}: the explorer needs labels")
    inputs = np.ascontiguousarray(to_input(net, data.images))
    simulator = open_simulator(net)
    _, counts = simulator.run(inputs, errors=NO_ERRORS)
    checked, _ = simulator.run(inputs, errors=_CHECK)
    written, toggled, _, ones, up = counts.sum(axis=0).tolist()
    traffic = Traffic.of_run(written, ones, toggled - up, up)
    content = {
        "net": _net(net),
        "classes": [_label(net, data, k) for k in range(_class_count(net, data))],
        "labels": data.labels.tolist(),
        "inputs": _packed(inputs),
        "pictures": _packed(_pictures(data.images)),
        "source": re.sub(r"\S*[/\\]", "", data.source),  # no folders of this machine
        "ways": [_way(name, cell, scheme, traffic) for name, cell, scheme in ways],
        "kinds": {"flip": FLIP, "keep": KEEP},
        "wasm": base64.b64encode(wasm()).decode(),
        "check": {
            "seed": _CHECK.seed,
            "limit": fail_limit(0.024),
            "sha256": hashlib.sha256(checked.astype("<i4").tobytes()).hexdigest(),
        },
    }
    parts = {
        "WORKER": _in_script((_HERE / "worker.js").read_text(encoding="utf-8")),
        "CONTENT": _in_script(content),
        "PROGRAM": (_HERE / "explorer.js").read_text(encoding="utf-8"),
    }
    text = (_HERE / "explorer.html").read_text(encoding="utf-8")
    return re.sub(r"/\*([A-Z]+)\*/", lambda mark: parts[mark[1]], text)


def _in_script(value: Any) -> str:
    """A value as JSON inside a script, which no text of the value can end."""
    return json.dumps(value).replace("<", "\\u003c")


def _packed(values: NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _pictures(images: NDArray[Any]) -> NDArray[np.uint8]:
    """What a person is shown: uint8 (n, height, width, 1 or 3), int8 shifted to 0 .. 255."""
    shown = images if images.dtype == np.uint8 else (images.astype(np.int16) + 128).astype(np.uint8)
    return shown if shown.shape[3] in (1, 3) else shown[..., :1]


def _class_count(net: Model, data: Dataset) -> int:
    labels = 0 if data.labels is None else int(data.labels.max()) + 1
    return max(2 if net.by_sign else net.classes, labels)


def _label(net: Model, data: Dataset, k: int) -> str:
    names = tuple(net.class_names) or data.classes
    return names[k] if k < len(names) else str(k)


def _net(net: Model) -> dict[str, Any]:
    scales = np.zeros(0, "<f4")
    if net.scales_at:
        scales = np.frombuffer(net.data, "<f4", 2 * net.classes, net.scales_at)
    maps = [
        {
            "height": layer.map_height,
            "width": layer.map_width,
            "channels": layer.out_channels,
            "words": layer.out_words,
            "at": sum(other.map_words for other in net.layers[: layer.index]),
            "stored": layer.output in STORED,
        }
        for layer in net.layers[:-1]
    ]
    return {
        "name": net.name,
        "data": base64.b64encode(bytes(net.data)).decode(),
        "layers": base64.b64encode(bytes(c_layers(net))).decode(),
        "count": len(net.layers),
        "shape": list(net.input_shape),
        "half_words": list(net.half_words),
        "classes": net.classes,
        "by_sign": bool(net.by_sign),
        "scales": scales.tolist(),
        "maps": maps,
        "map_words": sum(layer.map_words for layer in net.layers),
    }


def _way(name: str, cell: Cell, scheme: Scheme, traffic: Traffic) -> dict[str, Any]:
    """Fail limits and energies of a cell under a scheme, from the longest pulse to the shortest."""
    if not cell.has_power:
        raise ConfigError(f"cell {name}: the explorer needs energies; give current and voltage")
    rates = np.geomspace(_LONGEST, _SHORTEST, PULSES)
    rows = []
    for rate in rates:
        pulses = scheme.pulses_for(cell, float(rate), traffic)
        down, up = scheme.rates(cell, pulses, traffic)
        write = scheme.write(cell, pulses, traffic)
        rows.append(
            {
                "ns": pulses.longest_ns,
                "rates": [down, up],
                "limits": [fail_limit(down), fail_limit(up)],
                "pj": [
                    write.pj_zero + write.pj_word / write.word_bits,
                    write.pj_one - write.pj_zero,
                    write.pj_down,
                    write.pj_up,
                ],
            }
        )
    reference = reference_write(cell, traffic)[1].per_bit_pj(traffic)
    return {"name": name, "pulses": rows, "reference_pj": reference}
