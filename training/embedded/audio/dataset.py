"""The audio model's training samples.

Clips of two lengths take turns in blocks as long as a batch, so that no batch pads short clips to long ones: half as
long costs half as much, and a user's clip is not always ten seconds either.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from training.embedded.audio.captions.grammar import MODES, Grammar
from training.embedded.audio.render.render import Span
from training.embedded.common.dataset import CachedFeatures, SceneDataset
from training.embedded.common.domain import Item


@dataclass(frozen=True)
class ClipItem(Item):
    """One cached clip.

    Attributes:
        spans: of each event, when it occurs, in seconds.
    """

    spans: tuple[tuple[Span, ...], ...] = ()


class AudioDataset(SceneDataset):
    """``length`` samples in blocks of ``block``, each block of one of the ``sources``.

    Args:
        sources: cached clips of one length each, and the share of blocks that are theirs; shares sum to 1.
        grammar: writes the captions.
        length: number of samples.
        block: samples that follow one another from one source: the batch size.
        seed: fixes all of them.
        mode_shares: how often each annotator captions, in the order of ``MODES``; equally often by default.
        all_modes: every annotator captions every clip.
    """

    def __init__(
        self,
        sources: Sequence[tuple[CachedFeatures, float]],
        grammar: Grammar,
        length: int,
        block: int,
        seed: int,
        mode_shares: Sequence[float] | None = None,
        all_modes: bool = False,
    ) -> None:
        super().__init__(grammar.caption, MODES, length, seed, mode_shares=mode_shares, all_modes=all_modes)
        if abs(sum(share for _, share in sources) - 1) > 1e-9 or block < 1:
            raise ValueError("shares must sum to 1, and a block hold at least one sample")
        self.sources, self.block = sources, block
        rng, counts = random.Random(f"{seed}/blocks"), [0] * len(sources)
        self._blocks: list[tuple[int, int]] = []  # of each block, its source and how many of it came before
        for _ in range(-(-length // block)):
            (source,) = rng.choices(range(len(sources)), [share for _, share in sources])
            self._blocks.append((source, counts[source]))
            counts[source] += 1

    def choose(self, number: int, rng: random.Random) -> tuple[Item, Tensor]:
        source, before = self._blocks[number // self.block]
        cached = self.sources[source][0]
        index = self.shuffled(before * self.block + number % self.block, len(cached), source)
        return cached.items[index], cached.features(index)
