"""Optional packages: one message for every one that is missing, and how to install it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtjkit_core.errors import ConfigError

_CHECKOUT = Path(__file__).resolve().parents[2]


def install(extra: str = "") -> str:
    """The command that installs mtjkit with an extra of pyproject.toml.

    Args:
        extra: a name of its optional dependencies; empty for the base packages alone.
    """
    option = f"[{extra}]" if extra else ""
    if (_CHECKOUT / "pyproject.toml").is_file():
        return f"pip install -e '{_CHECKOUT}{option}'"
    return f"pip install 'mtjkit{option}'"


@contextmanager
def needs(extra: str, what: str = "") -> Iterator[None]:
    """Imports of an extra's packages stand in this context.

    Args:
        extra: see `install`.
        what: what the message says in addition, such as a file's name; empty for nothing.

    Raises:
        ConfigError: a package is missing or does not load; the message names the package and the
            command that installs it.
    """
    try:
        yield
    except ImportError as error:
        if error.name is None or error.name.startswith("mtjkit"):
            raise
        if isinstance(error, ModuleNotFoundError):
            raise ConfigError(missing(error.name, extra, what)) from None
        raise ConfigError(f"{error.name} does not load ({error}): {install(extra)}") from None


def missing(package: str, extra: str = "", what: str = "") -> str:
    """The message for a missing package."""
    start = f"{what}: " if what else ""
    return f"{start}{package.split('.')[0]} is missing: {install(extra)}"
