"""A section of a cell's file: values by key; each mistake is one line that names the key."""

from __future__ import annotations

from typing import Any

from mtjkit_core.errors import ConfigError

from mtjkit_host.parse import shown


class Section:
    """A table of numbers: every key is asked for once, and what is left is unknown.

    Args:
        name: what messages put in front of a key; "" for the top of the file.
        values: the table.
    """

    def __init__(self, name: str, values: dict[str, Any]):
        self._name = f"{name}." if name else ""
        self._asked: set[str] = set()
        self.values = values

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def number(
        self, key: str, low: float = 1e-9, high: float = 1e9, default: float | None = None
    ) -> float:
        """A number in a range.

        Raises:
            ConfigError: it is missing and has no default, is not a number, or lies outside.
        """
        found = self.maybe(key, low, high)
        if found is None and default is None:
            raise ConfigError(f"{self._name}{key} is missing")
        return float(default if found is None else found)  # type: ignore[arg-type]

    def maybe(self, key: str, low: float = 1e-9, high: float = 1e9) -> float | None:
        """A number in a range, or None where it is missing.

        Raises:
            ConfigError: it is not a number, or lies outside.
        """
        self._asked.add(key)
        if key not in self.values:
            return None
        value = self.values[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError(f"{self._name}{key} must be a number, not {shown(value)}")
        if not low <= value <= high:
            raise ConfigError(
                f"{self._name}{key} must lie between {low:g} and {high:g}, not {shown(value)}"
            )
        return float(value)

    def whole(self, key: str, low: int, high: int, default: int) -> int:
        """A whole number in a range; see `maybe_whole`."""
        found = self.maybe_whole(key, low, high)
        return default if found is None else found

    def maybe_whole(self, key: str, low: int, high: int) -> int | None:
        """A whole number in a range, or None where it is missing.

        Raises:
            ConfigError: it is not a whole number, or lies outside.
        """
        self._asked.add(key)
        if key not in self.values:
            return None
        value = self.values[key]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ConfigError(
                f"{self._name}{key} must be a whole number from {low} to {high}, not {shown(value)}"
            )
        return int(value)

    def choice(self, key: str, words: tuple[str, ...], default: str) -> str:
        """One of some words.

        Raises:
            ConfigError: it is another word.
        """
        self._asked.add(key)
        value = self.values.get(key, default)
        if value not in words:
            raise ConfigError(f"{self._name}{key} must be {' or '.join(words)}, not {shown(value)}")
        return str(value)

    def any(self, key: str) -> Any:
        """A value of any kind, or None."""
        self._asked.add(key)
        return self.values.get(key)

    def end(self) -> None:
        """Refuse keys that nobody has asked for.

        Raises:
            ConfigError: there is one.
        """
        for key in self.values:
            if key not in self._asked:
                may = ", ".join(sorted(self._asked))
                raise ConfigError(f"{self._name}{shown(key)} is unknown; it may set {may}")
