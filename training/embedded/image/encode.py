"""Pictures to features of the frozen vision tower."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from lora_mcl.models.llava_next import ImageLanguageModel, tower_features

TOWER_BATCH = 4
"""Larger batches fall out of a core's cache and are slower."""


def encode_pictures(model: ImageLanguageModel, images: Sequence[Image.Image], exact: bool = True) -> list[np.ndarray]:
    """Tower output of each picture, [V, P, D] float16: of its overview and its tile (V = 2).

    A square picture's overview and tile are the same picture; it is kept once (V = 1).

    Args:
        exact: compute in float32, else in bfloat16.
    """
    views = []
    for image in images:
        tiles = model.inputs(image, "")["pixel_values"][0]
        views.append(tiles[:1] if torch.equal(tiles[0], tiles[1]) else tiles)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=not exact):
        features = torch.cat([tower_features(model.model, chunk) for chunk in torch.cat(views).split(TOWER_BATCH)])
    return [part.numpy() for part in features.to(torch.float16).split([len(one) for one in views])]


def head_features(model: ImageLanguageModel, image: Image.Image) -> np.ndarray:
    """Head features [C] float16 of a picture, averaged over the cells of its overview."""
    pixel_values = model.inputs(image, "")["pixel_values"][0][:1]
    with torch.inference_mode():
        cells = model.model.model.vision_tower.classifier.features(pixel_values)[0]  # [G, G, C]
    return cells.mean((0, 1)).to(torch.float16).numpy()
