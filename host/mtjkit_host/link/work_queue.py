"""The images of a run, shared out among devices of which each may fail."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray


class Pool:
    """The images that are still to be computed. Every index is delivered exactly once.

    Args:
        images: index -> int8 (height, width, channels).
        taken: called with each index that is taken.
    """

    def __init__(
        self, images: Mapping[int, NDArray[np.int8]], taken: Callable[[int], None]
    ) -> None:
        self._images = images
        self._taken = taken
        self._todo = deque(images)
        self._left = set(self._todo)
        self._changed = threading.Condition()
        self._stopped = False

    def items(self, mine: set[int]) -> Iterator[tuple[int, bytes]]:
        """Take images as long as there are any; their indices are added to `mine`."""
        while True:
            with self._changed:
                if self._stopped or not self._todo:
                    return
                index = self._todo.popleft()
                mine.add(index)
            self._taken(index)
            yield index, self._images[index].tobytes()

    def give_back(self, mine: set[int]) -> None:
        """Let others compute these."""
        with self._changed:
            self._todo.extendleft(sorted(mine, reverse=True))
            mine.clear()
            self._changed.notify_all()

    def deliver(self, index: int) -> None:
        """An image has its result. Nobody else has it: whoever took it has not given it back."""
        with self._changed:
            self._left.remove(index)
            if not self._left:
                self._changed.notify_all()

    def wait(self) -> bool:
        """Wait for images to compute; False when the work is done."""
        with self._changed:
            self._changed.wait_for(lambda: self._todo or not self._left or self._stopped)
            return bool(self._todo) and not self._stopped

    def is_empty(self) -> bool:
        """True once every image is delivered."""
        return not self._left

    def stop(self) -> None:
        """Hand out nothing any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
