"""Vega, Vega-Lite and Vega-Embed as one script for pages that work offline."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from mtjkit_core.errors import ConfigError
from mtjkit_export.files import write_atomically
from mtjkit_export.needs import needs

from mtjkit_host.paths import BUILT
from mtjkit_host.simulate.compiled import kept

VEGA_LITE = "6.4"
"""The version that the specifications of the figures are written for."""
VEGA_FILE = f"vega-{VEGA_LITE}.js"
"""What a wheel calls the script, in `BUILT`."""
_NAME = "window.vegaEmbed = vegaEmbed;"


@lru_cache(maxsize=1)
def vega_script() -> str:
    """The script, which gives a page `vegaEmbed`.

    A wheel brings it. Elsewhere vl-convert bundles it, which takes seconds, and the cache keeps it.

    Raises:
        ConfigError: vl-convert is not installed, or the cache cannot be written.
    """
    brought = BUILT / VEGA_FILE
    if brought.is_file():
        return brought.read_text(encoding="utf-8")
    with needs("report", "the report's figures"):
        import vl_convert
    by = version("vl-convert-python")

    def make(target: Path) -> None:
        try:
            script = vl_convert.javascript_bundle(_NAME, vl_version=VEGA_LITE)
        except ValueError as error:
            raise ConfigError(f"vl-convert {by}: {error}") from None
        write_atomically(target, f"(() => {{{script}}})();\n".encode())  # its names are its own

    return kept(f"vega-{VEGA_LITE}-{by}.js", make).read_text(encoding="utf-8")
