"""Figures that are the same whatever the user's matplotlib is set to, here or by a notebook."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from mtjkit_export.needs import needs


@contextmanager
def own_settings() -> Iterator[None]:
    """Figures are made and saved in this context: with matplotlib's own settings.

    No backend is loaded, no matplotlibrc and no MPLBACKEND counts.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    backend = os.environ.pop("MPLBACKEND", None)  # one that is not installed stops the import
    try:
        with needs("report", "figures"):
            import matplotlib as mpl
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    with mpl.rc_context():
        mpl.rcdefaults()
        yield


def plain(text: str) -> str:
    """A user's text for a figure: dollars begin no formula, and a first _ hides no legend entry."""
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
