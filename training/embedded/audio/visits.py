"""The training stream: visit number j is a clip and one annotator's caption of it, fixed by (seed, j).

Runs with the same seed hear the same clips and captions in the same order, whatever they train; a resumed run
continues the stream where it stopped, because a visit depends on nothing but its number.

Clips of two lengths take turns in blocks as long as a batch, so that no batch pads short clips to long ones: half as
long costs half as much, and a user's clip is not always ten seconds either.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lora_mcl.models.qwen2_audio import AudioLanguageModel
from training.embedded.audio.captions.grammar import MODES, Grammar, load_grammar
from training.embedded.audio.features import Item, read_shard, shards
from training.embedded.audio.render.clips import clip_seconds
from training.embedded.audio.render.dsp import RATE

SHORT_SHARE = 0.75
"""Share of the batches made of five-second clips."""


@dataclass(frozen=True)
class Visit:
    """One example.

    Attributes:
        features: tower output [P, C], float32.
        num_samples: the clip's length.
        caption: one annotator's sentence.
        mode: that annotator; for measuring only, no training code reads it.
        others: what the other annotators say, where the stream asks them.
        item: what the clip holds, and when.
    """

    features: Tensor
    num_samples: int
    caption: str
    mode: str
    item: Item
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class CachedClips:
    """All clips of some shards of one length, read from disk on demand."""

    items: tuple[Item, ...]
    arrays: tuple[np.ndarray, ...]
    where: tuple[tuple[int, int], ...]
    num_samples: int

    @classmethod
    def open(cls, split: str, folder: Path | None = None) -> CachedClips:
        """All finished shards of a split; raises FileNotFoundError if there is none."""
        return cls.of(shards(split, folder), round(clip_seconds(split) * RATE), split)

    @classmethod
    def of(cls, folders: Sequence[Path], num_samples: int, split: str = "train") -> CachedClips:
        if not folders:
            raise FileNotFoundError(
                f"no cached features: run `python -m training.embedded.audio.features --split {split}` first"
            )
        items, arrays, where = [], [], []
        for number, folder in enumerate(folders):
            shard_items, tokens = read_shard(folder)
            items += shard_items
            arrays.append(tokens)
            where += [(number, row) for row in range(len(shard_items))]
        return cls(tuple(items), tuple(arrays), tuple(where), num_samples)

    def __len__(self) -> int:
        return len(self.items)

    def features(self, index: int) -> Tensor:
        """[P, C] float32."""
        shard, row = self.where[index]
        return torch.from_numpy(self.arrays[shard][row].astype(np.float32))


class CaptionVisits(Dataset):
    """``length`` visits in blocks of ``block``, each block of one of the ``sources``.

    Args:
        sources: cached clips, and the share of blocks that are theirs; shares sum to 1.
        grammar: writes the captions.
        length: number of visits.
        block: visits that follow one another from one source: the batch size.
        seed: fixes the whole stream.
        mode_shares: how often each annotator captions, in the order of ``MODES``; equally often by default.
        all_modes: every annotator captions every clip.
    """

    def __init__(
        self,
        sources: Sequence[tuple[CachedClips, float]],
        grammar: Grammar,
        length: int,
        block: int,
        seed: int,
        mode_shares: Sequence[float] | None = None,
        all_modes: bool = False,
    ) -> None:
        if abs(sum(share for _, share in sources) - 1) > 1e-9 or block < 1:
            raise ValueError("shares must sum to 1, and a block hold at least one visit")
        self.sources, self.grammar, self.length, self.block, self.seed = sources, grammar, length, block, seed
        self.mode_shares, self.all_modes = mode_shares, all_modes
        rng, counts = random.Random(f"{seed}/blocks"), [0] * len(sources)
        self._blocks: list[tuple[int, int]] = []  # of each block, its source and how many of it came before
        for _ in range(-(-length // block)):
            (source,) = rng.choices(range(len(sources)), [share for _, share in sources])
            self._blocks.append((source, counts[source]))
            counts[source] += 1
        self._orders: dict[tuple[int, int], np.ndarray] = {}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> Visit:
        if not 0 <= number < self.length:
            raise IndexError(number)
        source, before = self._blocks[number // self.block]
        clips = self.sources[source][0]
        lap, position = divmod(before * self.block + number % self.block, len(clips))
        index = int(self._order(source, lap)[position])
        rng = random.Random(f"{self.seed}/{number}")
        mode = rng.choice(MODES) if self.mode_shares is None else rng.choices(MODES, self.mode_shares)[0]
        item = clips.items[index]
        caption = self.grammar.caption(item.scene, mode, rng)
        rest = [other for other in MODES if other != mode] if self.all_modes else []
        others = tuple(self.grammar.caption(item.scene, other, rng) for other in rest)
        return Visit(clips.features(index), clips.num_samples, caption, mode, item, others)

    def _order(self, source: int, lap: int) -> np.ndarray:
        """A permutation of a source's clips: each is heard once before any is heard twice."""
        if (source, lap) not in self._orders:
            self._orders = {key: order for key, order in self._orders.items() if key[0] != source}
            size = len(self.sources[source][0])
            self._orders[source, lap] = np.random.default_rng((self.seed, source, lap)).permutation(size)
        return self._orders[source, lap]


def adapters_stream(
    media: AudioLanguageModel, folder: Path, length: int, block: int, seed: int, mode_shares: Sequence[float] | None
) -> CaptionVisits:
    """What adapters hear; cached clips serve any ``media``."""
    return open_stream(length, block, seed, mode_shares=mode_shares, folder=folder)


def open_stream(
    length: int,
    block: int,
    seed: int,
    *,
    short_share: float = SHORT_SHARE,
    mode_shares: Sequence[float] | None = None,
    all_modes: bool = False,
    folder: Path | None = None,
) -> CaptionVisits:
    """``length`` visits of the cached clips, ``short_share`` of the blocks of short ones.

    Args:
        folder: of the features, by default where ``training.embedded.audio.features`` puts them.

    Raises:
        FileNotFoundError: no features are cached.
    """
    sources = [(CachedClips.open("train", folder), 1 - short_share)]
    if short_share:
        sources.append((CachedClips.open("train-short", folder), short_share))
    return CaptionVisits(sources, load_grammar(), length, block, seed, mode_shares, all_modes)
