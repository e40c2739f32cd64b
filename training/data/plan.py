"""Which medium and which of its captions is visited when: fixed by seed and number, media of like length together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lora_mcl.errors import OptionsError
from training.data.options import CaptionsPerVisit

BLOCKS_SORTED = 50
"""Media are sorted by length among so many batches of them: enough for even batches, few enough to stay mixed."""


class VisitPlan:
    """An endless sequence of visits; each epoch visits everything once, in an order of its own.

    A visit depends on nothing but its number, so a run that was cut short goes on where it stopped, and several
    processes that share out the numbers see together what one would.

    Args:
        lengths: for each example, the length of each of its captions with the medium: any measure of what it costs.
        captions_per_visit: ``one``: an epoch has one visit for each example, its caption drawn; ``all``: one for
            each caption.
        block: visits that belong together: the batch of all processes.
        seed: fixes everything; None for the same order always, sorted by length if bucketed: to validate.
        bucket: whether the visits of a block are of like length.

    Raises:
        OptionsError: there is nothing to visit, or ``block`` is not positive.
    """

    def __init__(
        self,
        lengths: Sequence[Sequence[int]],
        captions_per_visit: CaptionsPerVisit,
        *,
        block: int,
        seed: int | None,
        bucket: bool = True,
    ) -> None:
        if not lengths or block < 1:
            raise OptionsError("a plan needs at least one example, and blocks of at least one visit")
        self._counts = np.array([len(own) for own in lengths])
        self._starts = np.concatenate([[0], np.cumsum(self._counts)[:-1]])
        self._lengths = np.concatenate([np.asarray(own) for own in lengths])
        self._one, self._block, self._seed, self._bucket = captions_per_visit == "one", block, seed, bucket
        self.epoch_length = len(lengths) if self._one else int(self._counts.sum())
        self._owner = np.repeat(np.arange(len(lengths)), self._counts)
        self._orders: dict[int, np.ndarray] = {}

    def visit(self, number: int) -> tuple[int, int]:
        """The example and which of its captions, counted from 0."""
        epoch, position = divmod(number, self.epoch_length)
        if epoch not in self._orders:  # only the last one is kept
            self._orders = {epoch: self._order(epoch)}
        caption = int(self._orders[epoch][position])
        example = int(self._owner[caption])
        return example, caption - int(self._starts[example])

    def _order(self, epoch: int) -> np.ndarray:
        """An epoch's visits as indices among all captions of all examples."""
        rng = np.random.default_rng(0 if self._seed is None else (self._seed, epoch))
        chosen = self._starts + rng.integers(self._counts) if self._one else np.arange(len(self._lengths))
        if self._seed is None:
            return chosen[np.argsort(self._lengths[chosen], kind="stable")] if self._bucket else chosen
        chosen = rng.permutation(chosen)
        if not self._bucket:
            return chosen
        sorted_parts = [
            part[np.argsort(self._lengths[part], kind="stable")]
            for part in np.split(chosen, range(BLOCKS_SORTED * self._block, len(chosen), BLOCKS_SORTED * self._block))
        ]
        # The last batch of the epoch before may lack some: they come first, so that batches stay what blocks are.
        head = min(-epoch * self.epoch_length % self._block, len(chosen))
        whole = np.concatenate(sorted_parts)
        first, rest = whole[:head], whole[head:]
        full = len(rest) // self._block * self._block
        blocks = rng.permutation(rest[:full].reshape(-1, self._block), axis=0)
        return np.concatenate([first, blocks.reshape(-1), rest[full:]])
