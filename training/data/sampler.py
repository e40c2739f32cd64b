"""Order of examples and captions: fixed by the seed, with similar lengths together in a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lora_mcl.errors import OptionsError
from training.data.options import CaptionsPerEpoch

BATCHES_PER_SORT = 50
"""Examples are sorted by length within this many batches: enough for little padding, few enough to stay shuffled."""


class LengthGroupedSampler:
    """An endless sequence of (example, caption) pairs; each epoch has every example once, in an order of its own.

    A pair depends on its index alone, so an interrupted run goes on where it stopped, and several processes that split
    the indices see together what one would.

    Args:
        lengths: for each example, the length of each of its captions with the media, in any unit.
        captions_per_epoch: ``one``: an epoch has one index for each example, its caption drawn; ``all``: one for each
            caption.
        batch_size: examples of one batch over all processes.
        seed: fixes everything; None for one order, sorted by length if grouped: for validation.
        group_by_length: whether the examples of a batch are of like length.

    Attributes:
        epoch_length: indices that make an epoch.

    Raises:
        OptionsError: there are no examples, or ``batch_size`` is not positive.
    """

    def __init__(
        self,
        lengths: Sequence[Sequence[int]],
        captions_per_epoch: CaptionsPerEpoch,
        *,
        batch_size: int,
        seed: int | None,
        group_by_length: bool = True,
    ) -> None:
        if not lengths or batch_size < 1:
            raise OptionsError("a sampler needs at least one example, and a batch_size of at least 1")
        # Captions of all examples are numbered one after the other: those of example i from starts[i] on.
        self._counts = np.array([len(own) for own in lengths])
        self._starts = np.concatenate([[0], np.cumsum(self._counts)[:-1]])
        self._lengths = np.concatenate([np.asarray(own) for own in lengths])
        self._example_of = np.repeat(np.arange(len(lengths)), self._counts)
        self._one, self._batch_size, self._seed = captions_per_epoch == "one", batch_size, seed
        self._group_by_length = group_by_length
        self.epoch_length = len(lengths) if self._one else int(self._counts.sum())
        self._orders: dict[int, np.ndarray] = {}

    def example_and_caption(self, index: int) -> tuple[int, int]:
        """The example at an index, and which of its captions, counted from 0."""
        epoch, position = divmod(index, self.epoch_length)
        if epoch not in self._orders:  # only the last one is kept
            self._orders = {epoch: self._order(epoch)}
        caption = int(self._orders[epoch][position])
        example = int(self._example_of[caption])
        return example, caption - int(self._starts[example])

    def _order(self, epoch: int) -> np.ndarray:
        """An epoch's caption numbers, in order."""
        rng = np.random.default_rng(0 if self._seed is None else (self._seed, epoch))
        chosen = self._starts + rng.integers(self._counts) if self._one else np.arange(len(self._lengths))
        if self._seed is None:
            return chosen[np.argsort(self._lengths[chosen], kind="stable")] if self._group_by_length else chosen
        chosen = rng.permutation(chosen)
        if not self._group_by_length:
            return chosen
        size = self._batch_size
        sorted_parts = [
            part[np.argsort(self._lengths[part], kind="stable")]
            for part in np.split(chosen, range(BATCHES_PER_SORT * size, len(chosen), BATCHES_PER_SORT * size))
        ]
        # The last batch of the epoch before may be short of some examples: they come first, so that batch limits stay
        # multiples of the batch size over epochs.
        head = min(-epoch * self.epoch_length % size, len(chosen))
        joined = np.concatenate(sorted_parts)
        first, rest = joined[:head], joined[head:]
        full = len(rest) // size * size
        batches = rng.permutation(rest[:full].reshape(-1, size), axis=0)
        return np.concatenate([first, batches.reshape(-1), rest[full:]])
