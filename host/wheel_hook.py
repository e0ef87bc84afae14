"""What hatchling adds to a wheel: the firmware, and what has been or can be built from it."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WheelHook(BuildHookInterface[Any]):
    """Puts firmware and built files where an installed mtjkit_host finds them.

    The boards' C kernels are there if `invoke firmware` has built them; the host's library for
    this kind of system, the explorer's WebAssembly and the report's script if the building Python
    has mtjkit's packages, a compiler and vl-convert. Without them an installed mtjkit makes them on
    first use. One wheel serves all systems: on others the library is left alone.
    """

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
        for name, content in self._made(root).items():
            path = root / "build" / "wheel" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            included[str(path)] = f"mtjkit_host/built/{name}"

    def _made(self, root: Path) -> dict[str, bytes]:
        """Name below mtjkit_host/built -> content, of what this Python can make."""
        for package in ("host", "export", "firmware/micropython/lib"):
            sys.path.insert(0, str(root / package))  # this tree's, whatever is installed
        try:
            from mtjkit_core.errors import MtjkitError
            from mtjkit_host.analysis.vega import VEGA_FILE, vega_script
            from mtjkit_host.explore.wasm import WASM_FILE, wasm
            from mtjkit_host.simulate.compile import compiled_library, library_name
        except ImportError as error:
            self.app.display_info(f"left out: {error.name} is not here")
            return {}
        makers = {
            VEGA_FILE: lambda: vega_script().encode(),
            WASM_FILE: wasm,
            library_name(): lambda: compiled_library("-s").read_bytes(),  # without its symbols
        }
        made = {}
        for name, make in makers.items():
            try:
                made[name] = make()
            except MtjkitError as error:
                self.app.display_info(f"left out: {name}: {error}")
        return made
