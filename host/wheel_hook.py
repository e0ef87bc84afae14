"""What hatchling adds to a wheel: the firmware, and the boards' C kernels that have been built."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WheelHook(BuildHookInterface[Any]):
    """Puts `firmware` and built `mtjkit_native.mpy` where an installed mtjkit_host finds them."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See hatchling. An editable install reads the checkout and needs none of it."""
        if version == "editable":
            return
        root = Path(self.root)
        included = build_data["force_include"]
        included[str(root / "firmware")] = "mtjkit_host/firmware"
        sources = sorted(path for path in (root / "firmware/native").iterdir() if path.is_file())
        key = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
        for module in (root / "build/firmware/native").glob(f"*-{key}/mtjkit_native.mpy"):
            included[str(module)] = f"mtjkit_host/built/native/{module.parent.name}/{module.name}"
