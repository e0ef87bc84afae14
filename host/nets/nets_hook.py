"""What hatchling puts into the wheel of mtjkit-nets: every carried net that mtjkit leaves out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

DATA = Path(__file__).resolve().parents[1] / "mtjkit_host" / "data"
SMALL = (
    "binary-small.mtjb",
    "digits.mtjb",
    "fxp8-small-spread.safetensors",
    "gestures.mtjb",
)
"""What mtjkit's own wheel has."""


class NetsHook(BuildHookInterface[Any]):
    """Names the nets."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See hatchling."""
        for path in sorted(DATA.rglob("*")):
            if path.suffix in (".mtjb", ".safetensors") and path.name not in SMALL:
                place = path.relative_to(DATA).as_posix()
                build_data["force_include"][str(path)] = f"mtjkit_host/data/{place}"
