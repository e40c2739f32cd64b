"""The image model's training samples: composed scenes, simulated photographs of ImageNet things, real photographs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lora_mcl.models.efficientnet import EfficientNetTowerConfig
from training.embedded.common.dataset import CachedFeatures, SceneDataset
from training.embedded.common.domain import Item
from training.embedded.image.captions.grammar import MODES, Grammar
from training.embedded.image.render.patches import PhotoSimulator, mirror
from training.embedded.image.world.scene import SLOTS, Scene, Thing


@dataclass(frozen=True)
class EmptyPlaces:
    """Pictures of places with nothing in them, and their head features, for simulated photographs to start from.

    Attributes:
        heads: of each shard, [rows, G, G, C].
    """

    cached: CachedFeatures
    heads: tuple[np.ndarray, ...]

    def head(self, index: int) -> Tensor:
        """[G, G, C] float32; square pictures have one row each, so a picture's row is its head features' too."""
        head = self.heads[self.cached.shard_of[index]][self.cached.items[index].rows[0]]
        return torch.from_numpy(head.astype(np.float32))


class ImageDataset(SceneDataset):
    """Composed scenes, a share of them with a simulated or a real photograph instead.

    Args:
        composed: cached composed scenes.
        grammar: writes the captions.
        length: number of samples.
        seed: fixes all of them.
        simulator: if given, ``simulated_share`` of the samples show an ImageNet thing on an empty background.
        backgrounds: empty places, for the simulator.
        classes: concept -> its ImageNet classes, for the simulator.
        photographs: cached real photographs, ``photograph_share`` of the samples.
        tower: how the cached patches are laid out; the default geometry if not given.
        mode_shares: how often each annotator captions, in the order of ``MODES``; equally often by default.
    """

    def __init__(
        self,
        composed: CachedFeatures,
        grammar: Grammar,
        length: int,
        seed: int,
        *,
        simulator: PhotoSimulator | None = None,
        backgrounds: EmptyPlaces | None = None,
        classes: dict[str, tuple[int, ...]] | None = None,
        simulated_share: float = 0.0,
        photographs: CachedFeatures | None = None,
        photograph_share: float = 0.0,
        tower: EfficientNetTowerConfig | None = None,
        mode_shares: Sequence[float] | None = None,
    ) -> None:
        super().__init__(grammar.caption, MODES, length, seed, mode_shares=mode_shares)
        if photograph_share and photographs is None:
            raise ValueError("photograph_share needs photographs")
        if simulated_share and (simulator is None or backgrounds is None or not classes):
            raise ValueError("simulated_share needs simulator, backgrounds and classes")
        self.composed = composed
        self.simulator, self.backgrounds, self.classes = simulator, backgrounds, classes or {}
        self.photographs, self.photograph_share = photographs, photograph_share
        self.simulated_share, self.tower = simulated_share, tower or EfficientNetTowerConfig()

    def choose(self, number: int, rng: random.Random) -> tuple[Item, Tensor]:
        draw = rng.random()
        if draw < self.simulated_share:
            return self._simulated(rng)
        if draw < self.simulated_share + self.photograph_share:
            assert self.photographs is not None
            return self._perhaps_mirrored(self.photographs, rng.randrange(len(self.photographs)), rng)
        return self._perhaps_mirrored(self.composed, self.shuffled(number, len(self.composed)), rng)

    def _perhaps_mirrored(self, cached: CachedFeatures, index: int, rng: random.Random) -> tuple[Item, Tensor]:
        item, patches = cached.items[index], cached.features(index)
        if rng.random() < 0.5:
            return Item(item.scene.mirrored(), item.size), mirror(patches, self.tower)
        return item, patches

    def _simulated(self, rng: random.Random) -> tuple[Item, Tensor]:
        assert self.simulator is not None and self.backgrounds is not None
        places = self.backgrounds.cached
        index = rng.randrange(len(places))
        item, patches, head = places.items[index], places.features(index)[0], self.backgrounds.head(index)
        kinds = rng.choices((1, 2), (0.7, 0.3))[0]
        slots = sorted(rng.sample(SLOTS, kinds), key=SLOTS.index)
        if kinds == 1 and rng.random() < 0.5:
            slots = ["middle"]
        things = []
        for concept, slot in zip(rng.sample(sorted(self.classes), kinds), slots, strict=True):
            patches, head = self.simulator.place(patches, head, rng.choice(self.classes[concept]), slot, rng)
            things.append(Thing(concept, 1, "normal", slot))
        return Item(Scene(item.scene.place, tuple(things)), item.size), patches[None]
