"""Work on cached tower outputs: mirror a picture, or pretend that something was photographed in it.

Shapes: a picture's patches are [P, D] with P = g * g patches, each stacking ``side`` x ``side`` trunk cells of
S shape and E tag channels, and perhaps the picture's mean cell (``EfficientNetTower.assemble``). Its head features are
[G, G, C], with G = g * side.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_mcl.models.efficientnet import EfficientNetTower, EfficientNetTowerConfig
from training.embedded.image.world.scene import SLOTS, Slot

CLASS_LOGIT = (7.0, 13.0)
"""Range of the head's logit, above the mean class, that a clearly photographed thing reaches in a cell."""
CLUTTER = 0.25
"""Standard deviation of the noise on a simulated cell's head features, relative to their mean."""


def to_cells(patches: Tensor, side: int) -> Tensor:
    """[..., P, D] without mean cells -> the grid of trunk cells [..., G, G, S + E]."""
    *lead, count, width = patches.shape
    grid = round(count**0.5)
    cells = patches.reshape(*lead, grid, grid, side, side, width // side**2)
    return cells.transpose(-4, -3).reshape(*lead, grid * side, grid * side, width // side**2)


def to_patches(cells: Tensor, side: int) -> Tensor:
    """Inverse of ``to_cells``."""
    *lead, rows, columns, width = cells.shape
    patches = cells.reshape(*lead, rows // side, side, columns // side, side, width)
    return patches.transpose(-4, -3).reshape(*lead, (rows // side) * (columns // side), side * side * width)


def mirror(patches: Tensor, config: EfficientNetTowerConfig) -> Tensor:
    """The tower's view of the mirrored picture, up to the small asymmetry of its strided convolutions."""
    own, mean = split_mean(patches, config)
    return torch.cat([to_patches(to_cells(own, config.cells_per_patch).flip(-2), config.cells_per_patch), mean], -1)


def split_mean(patches: Tensor, config: EfficientNetTowerConfig) -> tuple[Tensor, Tensor]:
    """Patches' own cells [..., P, side * side * (S + E)], and the mean cell [..., P, S + E or 0]."""
    width = config.cells_per_patch**2 * config.cell_width
    return patches[..., :width], patches[..., width:]


@dataclass(frozen=True)
class PhotoSimulator:
    """Simulates the tower's answer to a photograph of an ImageNet thing, without the photograph.

    There are no labelled photographs of most things here, but the tower was trained on them, and its
    classifier's weights say where their head features lie. A cell that shows class n is drawn around
    ``background + s * w_n`` with w_n the class's (centred) weight vector and s set so that the head's logit is
    that of a clear photograph; its tags are then computed by the head itself, with whatever confusions the head has.
    What the middle of the tower would see of it is not known: the cell's shapes are noise, so that only tags help.
    """

    tower: EfficientNetTower

    @torch.no_grad()
    def place(
        self, patches: Tensor, head: Tensor, class_index: int, slot: Slot, rng: random.Random
    ) -> tuple[Tensor, Tensor]:
        """Return patches [P, D] and head features [G, G, C] of the same picture with a thing in the slot."""
        config = self.tower.config
        weights = self.tower.classifier.weight
        direction = weights[class_index] - weights.mean(0)
        strength = rng.uniform(*CLASS_LOGIT) / direction.square().sum()
        generator = torch.Generator().manual_seed(rng.getrandbits(48))
        mask = _blob(head.shape[0], slot, rng)[..., None]
        noise = torch.randn(head.shape, generator=generator) * CLUTTER * head.mean()
        thing = head.mean((0, 1)) + strength * direction + noise
        head = ((1 - mask) * head + mask * thing).clamp(0, 6)
        cells = to_cells(split_mean(patches, config)[0], config.cells_per_patch)
        shapes = cells[..., : config.shape_width]
        shapes = (1 - mask) * shapes + mask * torch.randn(shapes.shape, generator=generator)
        return self.tower.assemble(shapes[None], self.tower.probabilities(head[None]))[0], head


def _blob(grid: int, slot: Slot, rng: random.Random) -> Tensor:
    """Soft mask [G, G] of a thing standing in a slot."""
    centre_x = (SLOTS.index(slot) + 0.5) / 3 * grid + rng.uniform(-0.4, 0.4)
    radius_x, radius_y = rng.uniform(1.2, 2.6), rng.uniform(1.2, 2.8)
    centre_y = grid * rng.uniform(0.45, 0.65)
    steps = torch.arange(grid) + 0.5
    distance = ((steps[None] - centre_x) / radius_x) ** 2 + ((steps[:, None] - centre_y) / radius_y) ** 2
    return (1.6 - distance).clamp(0, 1)
