"""Train the tower's head that distinguishes drawings from photographs, and measure it.

    python -m training.embedded.image.drawings

On the cached features of the training pictures: composed scenes, which hold drawings, against real photographs and
empty places, every view of them. No composed scene shows people, so a view holds no drawings either where the detector
is as sure of a person as in hardly any of them. Head and limit are written into the base, in ``build/image``; of
training and of test, the shares of views that are taken for drawings are in ``assets/results/drawings.json``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from lora_mcl.models.detections import BOX_THRESHOLD
from lora_mcl.models.image_tower import PERSON, ImageTower, ImageTowerConfig, mean_of_surest
from lora_mcl.models.llava_next import ImageLanguageModel
from training.embedded.build_base import save_half
from training.embedded.common.dataset import CachedFeatures
from training.embedded.common.domain import PROMPT, Domain, load_domain
from training.embedded.image.material.assets import PACK_DIR
from training.embedded.image.real_photos import test_photographs
from training.embedded.image.render.patches import shapes_and_people
from training.paths import BUILD, RESULTS

CELLS = 6
COMPOSED = 2000
STEPS, BATCH, LEARNING_RATE, WEIGHT_DECAY, SPARSITY = 600, 128, 2e-2, 1e-3, 5e-3
TAKEN_FOR_PHOTOGRAPHS = 0.12
"""Of the views of composed scenes that the head is trained on. Either mistake costs the right name; but there are few
drawings among what visitors upload."""
TAKEN_FOR_PEOPLE = 0.02
"""Of the same views, those where the detector is surer of a person than the limit."""
SHARES = (0.5, 0.35, 0.15)
"""Of the samples: composed scenes, real photographs, empty places."""


@dataclass(frozen=True)
class Views:
    """What is known of N views.

    Attributes:
        shapes: [N, G * G, S] of their cells.
        people: [N] the detector's best score of a person.
    """

    shapes: Tensor
    people: Tensor


def cached_views(cached: CachedFeatures, tower: ImageTowerConfig, most: int) -> Views:
    """The views of at most ``most`` pictures, evenly chosen."""
    every = -(-len(cached) // most)
    views = [shapes_and_people(cached.features(index).float(), tower) for index in range(0, len(cached), every)]
    shapes, people = zip(*views, strict=True)
    return Views(torch.cat([cells.flatten(1, 2).half() for cells in shapes]), torch.cat(people))


def fit(kinds: Sequence[Tensor], seed: int = 0) -> nn.Linear:
    """The head, from the shapes [N, G * G, S] of each kind of picture: the first holds drawings, the others none.

    Cells are standardised for training; the head has the standardisation in its weights. An L1 penalty keeps most of
    them small: the photographs are few. For the same reason the head is the mean of those after each step of the second
    half. Its threshold then leaves ``TAKEN_FOR_PHOTOGRAPHS`` of the first kind below it.
    """
    torch.manual_seed(seed)
    shapes = torch.cat(list(kinds))
    drawn = torch.cat([torch.full((len(kind),), float(number == 0)) for number, kind in enumerate(kinds)])
    chance = torch.cat([torch.full((len(kind),), share / len(kind)) for kind, share in zip(kinds, SHARES, strict=True)])
    flat = shapes.flatten(0, 1).float()
    mean, std = flat.mean(0), flat.std(0) + 1e-3
    head = nn.Linear(shapes.shape[-1], 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    averaged = AveragedModel(head)
    optimizer = torch.optim.Adam(head.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for step in tqdm(range(STEPS), desc="drawings or photographs"):
        chosen = torch.multinomial(chance, BATCH, replacement=True)
        cells = head((shapes[chosen].float() - mean) / std).squeeze(-1)  # [B, G * G]
        loss = F.binary_cross_entropy_with_logits(mean_of_surest(cells, CELLS), drawn[chosen])
        loss = loss + SPARSITY * head.weight.abs().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step >= STEPS // 2:
            averaged.update_parameters(head)
    head = averaged.module
    with torch.no_grad():
        head.weight /= std
        head.bias -= (head.weight * mean).sum()
        cells = head(kinds[0].float()).squeeze(-1)
        head.bias -= mean_of_surest(cells, CELLS).quantile(TAKEN_FOR_PHOTOGRAPHS)
    return head


@torch.inference_mode()
def photograph_views(model: ImageLanguageModel, root: Path) -> Views:
    """The views of the real test photographs that are there."""
    tower = model.model.model.vision_tower
    shapes, people = [], []
    for _, path in test_photographs(root):
        with Image.open(path) as image:
            pixels = model.inputs(image.convert("RGB"), PROMPT)["pixel_values"].flatten(0, 1)
        shapes.append(tower.classifier.cells(pixels)[0].flatten(1, 2))
        people += [view.best_score(PERSON) for view in tower.detect(pixels)]
    return Views(torch.cat(shapes), torch.tensor(people))


def taken_for_drawings(tower: ImageTower, views: Views) -> float:
    """Share of the views that the tower takes for drawings."""
    side = round(views.shapes.shape[1] ** 0.5)
    with torch.inference_mode():
        drawings = tower.drawings(views.shapes.float().unflatten(1, (side, side)), views.people)
    return round(float(drawings.float().mean()), 4)


def add_head(domain: Domain, photographs: Path) -> dict[str, Any]:
    """Train the head, write it into the base, and return what the results file holds.

    Args:
        photographs: folder with the real test photographs.

    Raises:
        FileNotFoundError: no features are cached.
    """
    model = ImageLanguageModel.load(domain.base_dir)
    tower = model.model.model.vision_tower
    views = {
        split: cached_views(CachedFeatures.open(domain, split, domain.features_dir), tower.config, COMPOSED)
        for split in ("train", "photographs", "empty", "test")
    }
    tower.config.drawing_cells = CELLS
    surest = float(views["train"].people.quantile(1 - TAKEN_FOR_PEOPLE))
    tower.config.person_score = round(max(surest, BOX_THRESHOLD), 3)
    tower.drawing_head = fit([views[split].shapes for split in ("train", "photographs", "empty")])
    save_half(model.model, model.processor, domain.base_dir)
    real = photograph_views(model, photographs)
    return {
        "training": {
            name: taken_for_drawings(tower, views[split])
            for name, split in (("composed", "train"), ("photographs", "photographs"), ("empty", "empty"))
        },
        "test": {
            "composed": taken_for_drawings(tower, views["test"]),
            "photographs": taken_for_drawings(tower, real),
        },
        "views_of_test_photographs": len(real.people),
        "person_score": tower.config.person_score,
    }


def main() -> None:
    torch.set_num_threads(1)
    results = add_head(load_domain("image"), BUILD if (BUILD / "real").is_dir() else PACK_DIR)
    (RESULTS / "drawings.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
