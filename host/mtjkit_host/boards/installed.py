"""What flashing has put on a board: a list of files with their hashes, kept on the board itself.

FLASHING.md, beside this module, specifies the list and whose file a main.py is.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

LIST_NAME = "mtjkit.json"
"""In the board's lib folder."""

LIST_BYTES = 16_384
"""The most that the list may take."""

KEPT_MAIN = "main_before_mtjkit"
"""How a user's main.py is called while ours is in its place; .py or _2.py, _3.py ... follows."""

_VERSION = 1
_EARLIER_MAINS = (
    "0ba82064e84796adbaa57c40c9f2667797464af248b2fbccbbdf0877342ac6da",
    "21a2cc9c23d3a325da47a2ca4b28e65ec8a8d1afb2ff53f18ce3a77ada316b33",
    "536eb2ae86ad35269355168271e38533210244e9574de72f17068ce8fd1ae6fc",
)  # SHA-256 of our main.py before there was a list


def digest_of(data: bytes) -> str:
    """SHA-256 as hexadecimal."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Installed:
    """The list of what flashing has put on a board."""

    files: dict[str, str] = field(default_factory=dict)
    """Path on the board -> SHA-256 of what was written there."""
    kept_main: str = ""
    """Path of the user's own main.py while ours is in its place; "" for none."""
    mapped_model: str = ""
    """SHA-256 of the model that was written to the mapped memory; "" for none."""

    @property
    def is_empty(self) -> bool:
        """Nothing is known to have been put there."""
        return not self.files and not self.kept_main

    def to_bytes(self) -> bytes:
        """As it is kept on the board."""
        table = {
            "mtjkit": _VERSION,
            "files": self.files,
            "kept_main": self.kept_main,
            "mapped_model": self.mapped_model,
        }
        return json.dumps(table, separators=(",", ":")).encode()

    @classmethod
    def from_text(cls, text: str | None) -> Installed:
        """Read a list; an empty one if the file is missing or damaged: then no file is ours."""
        if text is None or len(text) > LIST_BYTES:
            return cls()
        try:
            table: Any = json.loads(text)
        except (ValueError, RecursionError):
            return cls()
        if not isinstance(table, dict) or table.get("mtjkit") != _VERSION:
            return cls()
        files, kept, model = (table.get(key) for key in ("files", "kept_main", "mapped_model"))
        if not isinstance(files, dict) or not isinstance(kept, str) or not isinstance(model, str):
            return cls()
        if not all(isinstance(value, str) for value in files.values()):
            return cls()
        return cls(files, kept, model)

    def owns(self, path: str, digest: str) -> bool:
        """Whether a file is one that flashing has written, unchanged since.

        Args:
            path: where it lies.
            digest: SHA-256 of what is there; "" if it is not there.
        """
        if not digest:
            return False
        is_main = path.rpartition("/")[2] == "main.py"
        return self.files.get(path) == digest or (is_main and digest in _EARLIER_MAINS)
