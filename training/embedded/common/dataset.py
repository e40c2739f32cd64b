"""Training samples over cached features: sample number j is an image or clip and a caption of it, fixed by (seed, j).

Runs with the same seed see the same inputs and captions in the same order, regardless of what they train; a resumed run
continues where it stopped, because a sample depends on nothing but its number.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from training.embedded.common.domain import Domain, Item
from training.embedded.common.shards import FEATURES, read_shard, shard_folders


@dataclass(frozen=True)
class Sample:
    """One training example.

    Attributes:
        features: tower output [V, P, D], float32: V views of P positions each.
        item: what the input holds.
        caption: one annotator's sentence.
        mode: that annotator; for measuring only, no training code reads it.
        others: the other annotators' sentences, where the dataset has all of them caption every input.
    """

    features: Tensor
    item: Item
    caption: str
    mode: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class CachedFeatures:
    """All inputs of some shards, read from disk on demand.

    Attributes:
        arrays: of each shard, the features [rows, P, D].
        shard_of: of each item, its shard.
    """

    items: tuple[Item, ...]
    arrays: tuple[np.ndarray, ...]
    shard_of: tuple[int, ...]

    @classmethod
    def open(cls, domain: Domain, split: str, folder: Path | None = None) -> CachedFeatures:
        """All finished shards of a split under ``folder``, by default where ``training.embedded.features`` writes.

        Raises:
            FileNotFoundError: there is none.
            ValueError: a shard was made with other annotation tables.
        """
        folders = shard_folders(folder or domain.features_dir, split)
        if not folders:
            raise FileNotFoundError(
                f"no cached features: run `python -m training.embedded.features {domain.name} --split {split}` first"
            )
        items, arrays, shard_of = [], [], []
        for number, shard in enumerate(folders):
            shard_items = read_shard(domain, shard)
            items += shard_items
            arrays.append(np.load(shard / FEATURES, mmap_mode="r"))
            shard_of += [number] * len(shard_items)
        return cls(tuple(items), tuple(arrays), tuple(shard_of))

    def __len__(self) -> int:
        return len(self.items)

    def features(self, index: int) -> Tensor:
        """[V, P, D] float32."""
        rows = list(self.items[index].rows)
        return torch.from_numpy(self.arrays[self.shard_of[index]][rows].astype(np.float32))


class SceneDataset(Dataset):
    """``length`` samples; a subclass chooses the inputs.

    Captions are drawn for every sample.

    Args:
        caption: writes a scene's caption by a mode's annotator.
        modes: the annotators.
        length: number of samples.
        seed: fixes all of them.
        mode_shares: how often each annotator captions; equally often by default.
        all_modes: every annotator captions every input.
    """

    def __init__(
        self,
        caption: Callable[[Any, str, random.Random], str],
        modes: Sequence[str],
        length: int,
        seed: int,
        *,
        mode_shares: Sequence[float] | None = None,
        all_modes: bool = False,
    ) -> None:
        self.caption, self.modes, self.length, self.seed = caption, tuple(modes), length, seed
        self.mode_shares, self.all_modes = mode_shares, all_modes
        self._orders: dict[tuple[tuple[int, ...], int], np.ndarray] = {}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> Sample:
        if not 0 <= number < self.length:
            raise IndexError(number)
        rng = random.Random(f"{self.seed}/{number}")
        item, features = self.choose(number, rng)
        mode = rng.choice(self.modes) if self.mode_shares is None else rng.choices(self.modes, self.mode_shares)[0]
        caption = self.caption(item.scene, mode, rng)
        rest = [other for other in self.modes if other != mode] if self.all_modes else []
        others = tuple(self.caption(item.scene, other, rng) for other in rest)
        return Sample(features, item, caption, mode, others)

    @abstractmethod
    def choose(self, number: int, rng: random.Random) -> tuple[Item, Tensor]:
        """The input of sample ``number`` and its features [V, P, D]; all chance comes from ``rng`` and the seed."""

    def shuffled(self, position: int, size: int, *key: int) -> int:
        """Index ``position`` in an endless row of shuffles of ``size`` inputs: each comes once before any comes twice.

        Args:
            key: names the row; each has shuffles of its own.
        """
        lap, place = divmod(position, size)
        if (key, lap) not in self._orders:
            # Only one lap of each row is kept.
            self._orders = {at: order for at, order in self._orders.items() if at[0] != key}
            self._orders[key, lap] = np.random.default_rng((self.seed, *key, lap)).permutation(size)
        return int(self._orders[key, lap][place])
