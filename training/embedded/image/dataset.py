"""The image model's training samples: composed scenes, simulated photographs, real photographs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lora_mcl.models.image_tower import ImageTowerConfig, as_shown
from training.embedded.common.dataset import CachedFeatures, SceneDataset
from training.embedded.common.domain import Item
from training.embedded.image.captions.grammar import MODES, Grammar
from training.embedded.image.render.patches import mirror
from training.embedded.image.render.photo_simulator import PhotoSimulator
from training.embedded.image.render.simulated_content import ContentSampler, named_scene


@dataclass(frozen=True)
class EmptyPlaces:
    """Pictures of places with nothing in them, and their head features, for simulated photographs to start from.

    Attributes:
        heads: of each shard, the mean head features [items, C] of its pictures.
    """

    cached: CachedFeatures
    heads: tuple[np.ndarray, ...]

    def head(self, index: int) -> Tensor:
        """[C] float32."""
        shard = self.cached.shard_of[index]
        first = self.cached.shard_of.index(shard)
        return torch.from_numpy(self.heads[shard][index - first].astype(np.float32))


class ImageDataset(SceneDataset):
    """Composed scenes, a share of them with a simulated or a real photograph instead.

    Each is shown as the finished tower shows it: drawings by the classifier's patches alone, photographs by the
    picture's tags and the boxes alone.

    Args:
        composed: cached composed scenes.
        grammar: writes the captions.
        length: number of samples.
        seed: fixes all of them.
        simulator: if given, ``simulated_share`` of the samples are simulated photographs.
        contents: what these show.
        backgrounds: empty places, for the simulator.
        photographs: cached real photographs, ``photograph_share`` of the samples.
        tower: how the cached patches are laid out; the default geometry if not given.
        mode_shares: how often each annotator captions, in the order of ``MODES``; equally often by default.
        all_modes: every annotator captions every picture.
    """

    def __init__(
        self,
        composed: CachedFeatures,
        grammar: Grammar,
        length: int,
        seed: int,
        *,
        simulator: PhotoSimulator | None = None,
        contents: ContentSampler | None = None,
        backgrounds: EmptyPlaces | None = None,
        simulated_share: float = 0.0,
        photographs: CachedFeatures | None = None,
        photograph_share: float = 0.0,
        tower: ImageTowerConfig | None = None,
        mode_shares: Sequence[float] | None = None,
        all_modes: bool = False,
    ) -> None:
        super().__init__(grammar.caption, MODES, length, seed, mode_shares=mode_shares, all_modes=all_modes)
        if photograph_share and photographs is None:
            raise ValueError("photograph_share needs photographs")
        if simulated_share and (simulator is None or backgrounds is None or contents is None):
            raise ValueError("simulated_share needs simulator, backgrounds and contents")
        self.composed = composed
        self.simulator, self.backgrounds, self.contents = simulator, backgrounds, contents
        self.photographs, self.photograph_share = photographs, photograph_share
        self.simulated_share, self.tower = simulated_share, tower or ImageTowerConfig()

    def choose(self, number: int, rng: random.Random) -> tuple[Item, Tensor]:
        draw = rng.random()
        if draw < self.simulated_share:
            return self._simulated(rng)
        if draw < self.simulated_share + self.photograph_share:
            assert self.photographs is not None
            item, patches = self._perhaps_mirrored(self.photographs, rng.randrange(len(self.photographs)), rng)
            named = 1.0 if self.contents is None else self.contents.simulation.real_place_named
            if named < 1 and rng.random() >= named:
                item = replace(item, scene=replace(item.scene, place=None))
            return item, self._shown(patches, drawings=False)
        item, patches = self._perhaps_mirrored(self.composed, self.shuffled(number, len(self.composed)), rng)
        return item, self._shown(patches, drawings=True)

    def _shown(self, patches: Tensor, drawings: bool) -> Tensor:
        return as_shown(patches, torch.tensor(drawings), self.tower.classifier_config.hidden_size)

    def _perhaps_mirrored(self, cached: CachedFeatures, index: int, rng: random.Random) -> tuple[Item, Tensor]:
        item, patches = cached.items[index], cached.features(index)
        if rng.random() < 0.5:
            return Item(item.scene.mirrored(), item.size), mirror(patches, self.tower)
        return item, patches

    def _simulated(self, rng: random.Random) -> tuple[Item, Tensor]:
        assert self.simulator is not None and self.backgrounds is not None and self.contents is not None
        places = self.backgrounds.cached
        index = rng.randrange(len(places))
        item, contents = places.items[index], self.contents.contents(rng)
        # Most photographs show no place that this model knows: it must not guess one.
        named = rng.random() < self.contents.simulation.place_named
        head, views = self.backgrounds.head(index), len(item.rows)
        patches = self.simulator.patches(views, item.size, head, contents, rng)
        return Item(named_scene(item.scene.place if named else None, contents), item.size), patches
