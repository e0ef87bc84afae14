"""What a model costs: size by layer, RAM on the device, MACs, bits written for each image."""

from __future__ import annotations

from mtjkit_core.model import CONV, Model


def summary(model: Model) -> str:
    """Placeholder until the table is written below."""
    return f"{model.name} {CONV}"
