"""The training stream: visit number j is a picture and one annotator's caption of it, fixed by (seed, j).

Runs with the same seed see the same pictures and captions in the same order, whatever they train; a resumed
run continues the stream where it stopped, because a visit depends on nothing but its number.
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

from lora_mcl.models.efficientnet import EfficientNetTowerConfig
from training.embedded.image.captions.grammar import MODES, Grammar
from training.embedded.image.features import Item, read_heads, read_shard
from training.embedded.image.render.patches import PhotoSimulator, mirror
from training.embedded.image.world.scene import SLOTS, Scene, Thing


@dataclass(frozen=True)
class Visit:
    """One example.

    Attributes:
        patches: tower output [1 or 2, P, D], float32: base view and tile, or one for both.
        image_size: (height, width) in pixels.
        caption: one annotator's sentence.
        mode: that annotator; for measuring only, no training code reads it.
        scene: what the picture holds.
    """

    patches: Tensor
    image_size: tuple[int, int]
    caption: str
    mode: str
    scene: Scene


@dataclass(frozen=True)
class CachedPictures:
    """All pictures of some shards, read from disk on demand."""

    items: tuple[Item, ...]
    arrays: tuple[np.ndarray, ...]
    where: tuple[int, ...]

    @classmethod
    def open(cls, folders: Sequence[Path]) -> CachedPictures:
        """Raises FileNotFoundError if there is no shard."""
        if not folders:
            raise FileNotFoundError("no cached features: run `python -m training.embedded.image.features` first")
        items, arrays, where = [], [], []
        for number, folder in enumerate(sorted(folders)):
            shard_items, patches = read_shard(folder)
            items += shard_items
            arrays.append(patches)
            where += [number] * len(shard_items)
        return cls(tuple(items), tuple(arrays), tuple(where))

    def __len__(self) -> int:
        return len(self.items)

    def patches(self, index: int) -> Tensor:
        """[1 or 2, P, D] float32: base view and tile, or one for both in a square picture."""
        rows = self.items[index].rows
        return torch.from_numpy(self.arrays[self.where[index]][list(rows)].astype(np.float32))


@dataclass(frozen=True)
class EmptyPlaces:
    """Pictures of places with nothing in them, and their head features, for simulated photographs to start from."""

    pictures: CachedPictures
    heads: tuple[np.ndarray, ...]

    @classmethod
    def open(cls, folders: Sequence[Path]) -> EmptyPlaces:
        """Raises FileNotFoundError if there is no shard."""
        return cls(CachedPictures.open(folders), tuple(read_heads(folder) for folder in sorted(folders)))

    def head(self, index: int) -> Tensor:
        """[G, G, C] float32; square pictures have one row each, so a picture's row is its head features' too."""
        head = self.heads[self.pictures.where[index]][self.pictures.items[index].rows[0]]
        return torch.from_numpy(head.astype(np.float32))


class CaptionVisits(Dataset):
    """``length`` visits of composite scenes, a share of them with a simulated photograph instead.

    Args:
        pictures: cached composites.
        grammar: writes the captions.
        length: number of visits.
        seed: fixes the whole stream.
        simulator: if given, ``simulated_share`` of the visits show an ImageNet thing on an empty background.
        backgrounds: empty places, for the simulator.
        classes: concept -> its ImageNet classes, for the simulator.
        photographs: cached real photographs, ``photograph_share`` of the visits.
        tower: how the cached patches are laid out; the default geometry if not given.
        mode_shares: how often each annotator captions, in the order of ``MODES``; equally often by default.
    """

    def __init__(
        self,
        pictures: CachedPictures,
        grammar: Grammar,
        length: int,
        seed: int,
        *,
        simulator: PhotoSimulator | None = None,
        backgrounds: EmptyPlaces | None = None,
        classes: dict[str, tuple[int, ...]] | None = None,
        simulated_share: float = 0.0,
        photographs: CachedPictures | None = None,
        photograph_share: float = 0.0,
        tower: EfficientNetTowerConfig | None = None,
        mode_shares: Sequence[float] | None = None,
    ) -> None:
        if photograph_share and photographs is None:
            raise ValueError("photograph_share needs photographs")
        if simulated_share and (simulator is None or backgrounds is None or not classes):
            raise ValueError("simulated_share needs simulator, backgrounds and classes")
        self.pictures, self.grammar, self.length, self.seed = pictures, grammar, length, seed
        self.simulator, self.backgrounds, self.classes = simulator, backgrounds, classes or {}
        self.photographs, self.photograph_share = photographs, photograph_share
        self.simulated_share, self.tower = simulated_share, tower or EfficientNetTowerConfig()
        self.mode_shares = mode_shares
        self._orders: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> Visit:
        rng = random.Random(f"{self.seed}/{number}")
        draw = rng.random()
        if draw < self.simulated_share:
            scene, patches, size = self._simulated(rng)
        elif draw < self.simulated_share + self.photograph_share:
            scene, patches, size = self._photograph(rng)
        else:
            scene, patches, size = self._composite(number, rng)
        mode = self._annotator(rng)
        return Visit(patches, size, self.grammar.caption(scene, mode, rng), mode, scene)

    def _annotator(self, rng: random.Random) -> str:
        return rng.choice(MODES) if self.mode_shares is None else rng.choices(MODES, self.mode_shares)[0]

    def _composite(self, number: int, rng: random.Random) -> tuple[Scene, Tensor, tuple[int, int]]:
        lap, position = divmod(number, len(self.pictures))
        if lap not in self._orders:
            self._orders = {lap: np.random.default_rng((self.seed, lap)).permutation(len(self.pictures))}
        return self._perhaps_mirrored(self.pictures, int(self._orders[lap][position]), rng)

    def _photograph(self, rng: random.Random) -> tuple[Scene, Tensor, tuple[int, int]]:
        assert self.photographs is not None
        return self._perhaps_mirrored(self.photographs, rng.randrange(len(self.photographs)), rng)

    def _perhaps_mirrored(
        self, pictures: CachedPictures, index: int, rng: random.Random
    ) -> tuple[Scene, Tensor, tuple[int, int]]:
        item, patches = pictures.items[index], pictures.patches(index)
        if rng.random() < 0.5:
            return item.scene.mirrored(), mirror(patches, self.tower), item.image_size
        return item.scene, patches, item.image_size

    def _simulated(self, rng: random.Random) -> tuple[Scene, Tensor, tuple[int, int]]:
        assert self.simulator is not None and self.backgrounds is not None
        places = self.backgrounds.pictures
        index = rng.randrange(len(places))
        item, patches, head = places.items[index], places.patches(index)[0], self.backgrounds.head(index)
        kinds = rng.choices((1, 2), (0.7, 0.3))[0]
        slots = sorted(rng.sample(SLOTS, kinds), key=SLOTS.index)
        if kinds == 1 and rng.random() < 0.5:
            slots = ["middle"]
        things = []
        for concept, slot in zip(rng.sample(sorted(self.classes), kinds), slots, strict=True):
            patches, head = self.simulator.place(patches, head, rng.choice(self.classes[concept]), slot, rng)
            things.append(Thing(concept, 1, "normal", slot))
        return Scene(item.scene.place, tuple(things)), patches[None], item.image_size
