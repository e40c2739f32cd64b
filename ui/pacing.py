"""Rate at which the viewers of a comparison get its snapshots."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from lora_mcl.types import Comparison


@dataclass(frozen=True)
class Rate:
    """Snapshots a second.

    Attributes:
        each: for one who follows a comparison, at most.
        in_all: what the server sends to all together.
    """

    each: float
    in_all: float

    def interval(self, watchers: int) -> float:
        """Seconds between two snapshots for each of so many."""
        return max(1 / self.each, watchers / self.in_all)


# As many as a person can see; programs mostly wait for the last one, but Gradio looks whether a client has left only
# when it sends a snapshot.
PAGE, API = Rate(12.0, 48.0), Rate(4.0, 32.0)


class Pace:
    """Chooses which snapshots of one comparison are passed on."""

    def __init__(self, rate: Rate = PAGE, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._last = -math.inf
        self._has_words = False

    def is_due(self, comparison: Comparison, watchers: int) -> bool:
        """Whether this one is: the first, the first with words, the last, and between them one in each interval.

        Each holds all that was written, so nothing is lost with those that are dropped.
        """
        now = self._clock()
        has_words = any(column.captions for column in comparison.columns)
        first_words = has_words and not self._has_words
        ended = comparison.done or comparison.stopped
        due = ended or first_words or now - self._last >= self._rate.interval(watchers)
        if due:
            self._last, self._has_words = now, has_words
        return due
