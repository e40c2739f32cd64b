"""How well the frozen tower distinguishes drawings at best, by each of its features.

Every drawing stands alone on a training background, and its features are averaged over exactly its own pixels: no
captioner has it that easy. A small classifier learns the concepts from the training drawings. ``seen`` are new
pictures of these, ``unseen`` pictures of the held-out ones.
"""

from __future__ import annotations

import random
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from lora_mcl.models.efficientnet import EfficientNetTower
from training.embedded.common.probing import accuracy, fit
from training.embedded.image.material.assets import load_material, open_rgba
from training.embedded.image.material.sprites import SPRITES_DIR, Sprite, load_sprites
from training.embedded.image.render.render import render_alone
from training.embedded.image.tower import pretrained_tower
from training.paths import BUILD

WEIGHTS = BUILD / "image" / "probe-tower"
PICTURES = 4
"""Of each drawing; of a training drawing the last one is for ``seen``."""
HEIGHTS = (0.5,)
CHUNK = 32
FEATURES = {"head": ("head",), "tags": ("tags",), "shapes": ("shapes",), "shapes + tags": ("shapes", "tags")}


def pooled(tower: EfficientNetTower, pixel_values: Tensor, masks: Tensor) -> dict[str, Tensor]:
    """Each feature's mean over the thing's cells, [B, channels], for pictures and masks [B, 1, S, S] in 0..1."""
    shapes, head = tower.cells(pixel_values)
    share = F.adaptive_avg_pool2d(masks, shapes.shape[1:3])[:, 0]
    share = share / share.sum((1, 2), keepdim=True)
    cells = {"head": head, "shapes": shapes, "tags": tower.probabilities(head) @ tower.tag_embedding}
    return {name: torch.einsum("bij,bijc->bc", share, cell.float()) for name, cell in cells.items()}


@torch.inference_mode()
def encode(task: tuple[float, int, list[Sprite]]) -> dict[str, np.ndarray]:
    """Pooled features of picture number ``task[1]`` of some drawings, at the height ``task[0]``."""
    height, number, sprites = task
    torch.set_num_threads(1)
    tower, material = EfficientNetTower.from_pretrained(WEIGHTS).eval(), load_material("train")
    out = []
    for sprite in sprites:
        rng = random.Random(f"probe/{height}/{number}/{sprite.path}")
        background = material.background(rng.choice(material.places), rng)
        cut_out = open_rgba(SPRITES_DIR / sprite.path)
        picture, mask = render_alone(cut_out, background, height, tower.config.image_size, rng)
        pixels = (torch.from_numpy(np.array(picture, dtype=np.float32)).permute(2, 0, 1)[None] - 127) / 128
        out.append(pooled(tower, pixels, torch.from_numpy(np.array(mask, dtype=np.float32))[None, None] / 255))
    return {name: torch.cat([one[name] for one in out]).numpy() for name in out[0]}


def probe_height(height: float, sprites: list[Sprite], workers: int) -> dict[str, dict[str, float]]:
    """Accuracy on seen and on unseen drawings, for each choice of features."""
    chunks = [sprites[start : start + CHUNK] for start in range(0, len(sprites), CHUNK)]
    tasks = [(height, number, chunk) for number in range(PICTURES) for chunk in chunks]
    with get_context("spawn").Pool(workers) as pool:
        parts = list(tqdm(pool.imap(encode, tasks), total=len(tasks), desc=f"height {height}"))
    concepts = sorted({sprite.concept for sprite in sprites})
    labels = torch.tensor([concepts.index(sprite.concept) for sprite in sprites]).repeat(PICTURES)
    unseen = torch.tensor([sprite.split == "test" for sprite in sprites]).repeat(PICTURES)
    last = torch.arange(PICTURES).repeat_interleave(len(sprites)) == PICTURES - 1
    report = {}
    for name, used in FEATURES.items():
        inputs = torch.cat([torch.from_numpy(np.concatenate([part[one] for part in parts])) for one in used], 1)
        model = fit(inputs[~unseen & ~last], labels[~unseen & ~last])
        report[name] = {
            "seen": accuracy(model, inputs[~unseen & last], labels[~unseen & last]),
            "unseen": accuracy(model, inputs[unseen], labels[unseen]),
        }
    return report


def probe(workers: int) -> dict[str, Any]:
    """Accuracies at each height a drawing may have, as a share of the picture's."""
    sprites = [sprite for sprite in load_sprites() if (SPRITES_DIR / sprite.path).is_file()]
    pretrained_tower().save_pretrained(WEIGHTS)
    return {
        "concepts": len({sprite.concept for sprite in sprites}),
        "drawings": {split: sum(sprite.split == split for sprite in sprites) for split in ("train", "test")},
        "heights": {str(height): probe_height(height, sprites, workers) for height in HEIGHTS},
    }
