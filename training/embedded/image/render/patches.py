"""The layout of cached tower outputs: cells of a patch, mirrored pictures, what the finished tower shows of them.

Shapes: a picture's patches are [P, D] with P = g * g patches. A patch stacks ``side`` x ``side`` trunk cells of the
classifier, S shape and E tag channels each, then perhaps the picture's mean cell (``EfficientNetTower.assemble``), then
the picture's tags and the detector's channels (``ImageTower``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from lora_mcl.models.detections import CHANNEL_SCALE, whole_picture
from lora_mcl.models.efficientnet import EfficientNetTowerConfig
from lora_mcl.models.image_tower import PERSON, ImageTower, ImageTowerConfig, as_shown
from lora_mcl.models.yolov3_tiny import COCO_CLASSES


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


def mirror(patches: Tensor, config: ImageTowerConfig) -> Tensor:
    """The tower's view of the mirrored picture, [..., P, D], up to the small asymmetry of its strided convolutions."""
    classified, tags, detected = patches.split(
        [config.classifier_config.hidden_size, config.tag_channels, config.detector_channels], dim=-1
    )
    own, mean = split_mean(classified, config.classifier_config)
    side = config.classifier_config.cells_per_patch
    own = to_patches(to_cells(own, side).flip(-2), side)
    # [..., P, E] -> [..., g, g, E], whose columns are exchanged: a box's size and score do not change
    grid = detected.unflatten(-2, (config.grid, config.grid)).flip(-2).flatten(-3, -2)
    return torch.cat([own, mean, tags, grid], dim=-1)


def split_mean(patches: Tensor, config: EfficientNetTowerConfig) -> tuple[Tensor, Tensor]:
    """Patches' own cells [..., P, side * side * (S + E)], and the mean cell [..., P, S + E or 0]."""
    width = config.cells_per_patch**2 * config.cell_width
    return patches[..., :width], patches[..., width:]


def shapes_and_people(patches: Tensor, tower: ImageTowerConfig) -> tuple[Tensor, Tensor]:
    """What the finished tower decides by: shapes [V, G, G, S] of the cells, and the best score [V] of a person.

    Args:
        patches: [V, P, D] of views, whole.
    """
    config = tower.classifier_config
    cells = to_cells(split_mean(patches[..., : config.hidden_size], config)[0], config.cells_per_patch)
    boxes = patches[:, 0, -tower.detector_channels :] / CHANNEL_SCALE
    return cells[..., : config.shape_width], whole_picture(boxes, len(COCO_CLASSES))[:, PERSON]


def as_tower_shows(tower: ImageTower, patches: Tensor) -> Tensor:
    """Cached patches [V, P, D], which are whole, as the finished tower shows them."""
    if not tower.config.drawing_cells:
        return patches
    shapes, people = shapes_and_people(patches.float(), tower.config)
    return as_shown(patches, tower.drawings(shapes, people), tower.config.classifier_config.hidden_size)
