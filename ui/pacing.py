"""Rate at which the viewers of a comparison get its snapshots."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from lora_mcl.types import Comparison

# Snapshots a second: as many as a person can see, and what the server sends to all together.
PER_WATCHER, IN_ALL = 12.0, 48.0


def interval(watchers: int) -> float:
    """Seconds between two snapshots for each of so many who watch."""
    return max(1 / PER_WATCHER, watchers / IN_ALL)


class Pace:
    """Chooses which snapshots of one comparison are passed on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = -math.inf
        self._has_words = False

    def is_due(self, comparison: Comparison, watchers: int) -> bool:
        """Whether this one is: the first, the first with words, the last, and between them one in each ``interval``.

        Each holds all that was written, so nothing is lost with those that are dropped.
        """
        now = self._clock()
        has_words = any(column.captions for column in comparison.columns)
        first_words = has_words and not self._has_words
        ended = comparison.done or comparison.stopped
        due = ended or first_words or now - self._last >= interval(watchers)
        if due:
            self._last, self._has_words = now, has_words
        return due
