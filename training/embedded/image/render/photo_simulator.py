"""Simulated photographs: tower features of known content on those of an empty place.

The classifier's part: a cell that shows class n is drawn around ``mean + s * w_n`` with w_n the head's (centred) weight
vector and s set so that the head's logit is that of a clear photograph; its tags are then computed by the head itself,
with the confusions the head has. What the middle of the network would see there is not known: the cell's shapes are
noise, or those of another picture, so that only tags and boxes help. The detector's part: the boxes of
``simulated_content``.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_mcl.models.detections import BOX_THRESHOLD, Detections
from lora_mcl.models.image_tower import ImageTower
from lora_mcl.models.yolov3_tiny import COCO_CLASSES
from training.embedded.image.render.patches import split_mean, to_cells, to_patches
from training.embedded.image.render.simulated_content import Alarm, Box, Content

CLUTTER = 0.25
"""Standard deviation of the noise on a simulated cell's head features, relative to their mean."""
BACKGROUND_ALARM = 0.15
"""Share of photographs with a false alarm where nothing stands."""
VIEW_NOISE = 0.7
"""Standard deviation of a score's log odds from view to view."""
BORROWED = 0.75
"""Share of photographs whose things have the shapes of another picture; those of the others are noise."""
PICTURE_SHARE = (0.85, 1.4)
"""How strongly the largest thing raises its class in the whole picture, relative to its own cells: the right class then
has the shares that it has in the real training photographs (median .29; here .16 to .38 at the ends of the range)."""


@dataclass(frozen=True)
class View:
    """How a view shows the picture: the base view squashes it, the tile adds bars.

    Attributes:
        scale, shift: of x and y, from fractions of the picture to fractions of the view.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def tile(cls, image_size: tuple[int, int]) -> View:
        """The tile of a picture of ``image_size`` (height, width), between bars."""
        height, width = image_size
        longest = max(height, width)
        scale = (width / longest, height / longest)
        return cls(scale, ((1 - scale[0]) / 2, (1 - scale[1]) / 2))

    def box(self, box: Box) -> Box:
        """A box of the picture in this view."""
        (x, y, width, height), (across, down), (right, low) = box, self.scale, self.shift
        return (x * across + right, y * down + low, width * across, height * down)


class PhotoSimulator:
    """Simulates the tower's answer to a photograph with known content."""

    def __init__(self, tower: ImageTower) -> None:
        self.tower = tower
        self.config = tower.config.classifier_config

    @torch.no_grad()
    def patches(
        self,
        background: Tensor,
        image_size: tuple[int, int],
        head: Tensor,
        donor: Tensor,
        contents: tuple[Content, ...],
        rng: random.Random,
    ) -> Tensor:
        """The tower's patches [V, P, hidden_size] of a picture.

        Args:
            background: [V, P, D] the classifier's patches of an empty place: base view and tile, or one for both.
            image_size: (height, width) of the picture.
            head: [C] mean head features of that place.
            donor: [P, D] the classifier's patches of any other picture, whose shapes may be borrowed.
        """
        side = self.config.cells_per_patch
        views = [View(), View.tile(image_size)][: len(background)]
        generator = torch.Generator().manual_seed(rng.getrandbits(48))
        cells = to_cells(split_mean(background, self.config)[0], side)  # [V, G, G, S + E]
        borrowed = to_cells(split_mean(donor, self.config)[0], side) if rng.random() < BORROWED else None
        stray = self._stray(rng)
        found, tags = [], []
        for number, view in enumerate(views):
            for content in contents:
                mask = box_mask([view.box(box) for box in content.boxes], cells.shape[1])
                here = mask > 0  # [G, G]
                share, own = mask[here][:, None], cells[number, here]
                thing = self._thing(content, head, None if borrowed is None else borrowed[here], len(own), generator)
                cells[number, here] = (1 - share) * own + share * thing
            alarms = [*(alarm for content in contents for alarm in content.alarms), *stray]
            given = [alarm for alarm in alarms if alarm.view in (None, number)]
            found.append(self.tower.detector_patches(as_detections(given, view, rng)))
            tags.append(self.tower.picture_tags(self._picture(contents, head, generator, rng)))
        patches = to_patches(cells, side)
        if self.config.mean_cell:
            mean = cells.mean((1, 2))[:, None].expand(-1, patches.shape[1], -1)
            patches = torch.cat([patches, mean], dim=-1)
        whole = torch.stack(tags)[:, None].expand(-1, patches.shape[1], -1)  # [V, P, N]
        return torch.cat([patches, whole, torch.stack(found)], dim=-1)

    def _picture(
        self, contents: tuple[Content, ...], head: Tensor, generator: torch.Generator, rng: random.Random
    ) -> Tensor:
        """Mean head features [C] of a view: the place's, and each thing's class the stronger the larger it is."""
        areas = [max(width * height for _, _, width, height in content.boxes) for content in contents]
        features = head + torch.randn(len(head), generator=generator) * CLUTTER / 2 * head.mean()
        for content, area in zip(contents, areas, strict=True):
            if classes := classes_of(content):
                share = rng.uniform(*PICTURE_SHARE) * (area / max(areas)) ** 0.5
                for imagenet, strength in classes:
                    features = features + share * strength * self._direction(imagenet)
        return features.clamp(0, 6)

    def _direction(self, imagenet: int) -> Tensor:
        """Head features [C] that raise a class's logit by 1 above the mean class."""
        weights = self.tower.classifier.classifier.weight
        direction = weights[imagenet] - weights.mean(0)
        return direction / direction.square().sum()

    def _thing(
        self, content: Content, head: Tensor, borrowed: Tensor | None, count: int, generator: torch.Generator
    ) -> Tensor:
        """``count`` cells [N, S + E] that show nothing but the thing."""
        features = head + torch.randn((count, len(head)), generator=generator) * CLUTTER * head.mean()
        shown = torch.zeros_like(features)  # [N, C]
        for imagenet, strength in classes_of(content):
            shown = shown + content.cell_gain * strength * self._direction(imagenet)
        if content.strays:
            others = torch.stack([strength * self._direction(imagenet) for imagenet, strength in content.strays])
            stray = torch.rand(count, generator=generator) < content.stray_share
            picked = torch.randint(len(others), (count,), generator=generator)
            shown = torch.where(stray[:, None], others[picked], shown)
        features = features + shown
        tags = self.tower.classifier.probabilities(features.clamp(0, 6)) @ self.tower.classifier.tag_embedding
        shapes = torch.randn((count, self.config.shape_width), generator=generator)
        return torch.cat([shapes if borrowed is None else borrowed[:, : self.config.shape_width], tags], dim=-1)

    def _stray(self, rng: random.Random) -> list[Alarm]:
        if rng.random() > BACKGROUND_ALARM:
            return []
        box = (rng.random(), rng.random(), rng.uniform(0.05, 0.3), rng.uniform(0.05, 0.3))
        return [Alarm(rng.choice(("person", *COCO_CLASSES)), rng.uniform(0.1, 0.35), box)]


def classes_of(content: Content) -> tuple[tuple[int, float], ...]:
    """The ImageNet classes that the head sees on a thing, each with its logit above the mean class."""
    main = () if content.imagenet is None else ((content.imagenet, content.strength),)
    return (*main, *content.further)


def scrambled(places: list[Tensor], side: int, width: int, rng: random.Random) -> Tensor:
    """One background [V, P, width] of the cells of several, so that it resembles no place.

    Args:
        places: the classifier's patches [V, P, D] of some places, with equally many views.
        side: cells on each side of a patch.
        width: channels of a patch's own cells, without the mean cell.
    """
    generator = torch.Generator().manual_seed(rng.getrandbits(48))
    cells = torch.stack([to_cells(place[..., :width], side) for place in places])  # [N, V, G, G, S + E]
    count, _, grid = cells.shape[:3]
    which = torch.randint(count, (grid, grid), generator=generator)
    rows, columns = (torch.randint(grid, (grid, grid), generator=generator) for _ in range(2))
    return to_patches(cells[which, :, rows, columns].permute(2, 0, 1, 3), side)


def as_detections(alarms: list[Alarm], view: View, rng: random.Random) -> Detections:
    """A view's boxes, best first; the detector is not equally sure of a thing in both views."""
    scores = [1 / (1 + math.exp(-logit(alarm.score) - rng.gauss(0, VIEW_NOISE))) for alarm in alarms]
    order = sorted((index for index, score in enumerate(scores) if score > BOX_THRESHOLD), key=lambda i: -scores[i])
    return Detections(
        torch.tensor([view.box(alarms[index].box) for index in order]).reshape(-1, 4),
        torch.tensor([COCO_CLASSES.index(alarms[index].coco) for index in order], dtype=torch.long),
        torch.tensor([scores[index] for index in order]),
    )


def logit(share: float) -> float:
    """Log odds of a share, at most 7 either way."""
    return max(-7.0, min(7.0, math.log(max(share, 1e-9) / max(1 - share, 1e-9))))


def box_mask(boxes: list[Box], grid: int) -> Tensor:
    """Soft mask [G, G] of ellipses in the boxes: 1 inside, 0 outside."""
    steps = (torch.arange(grid) + 0.5) / grid
    mask = torch.zeros(grid, grid)
    for x, y, width, height in boxes:
        across = ((steps[None] - x) / max(width / 2, 0.5 / grid)) ** 2
        down = ((steps[:, None] - y) / max(height / 2, 0.5 / grid)) ** 2
        mask = torch.maximum(mask, (1.6 - across - down).clamp(0, 1))
    return mask
