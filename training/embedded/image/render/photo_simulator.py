"""Simulated photographs: what the tower shows of a photograph with known content.

Of photographs it shows the picture's tags and the detector's boxes alone (``ImageTower``). The tags are computed by the
classifier's own head, with the confusions it has, from the mean features of an empty place to which each thing adds its
class's (centred) weight vector. The boxes are those of ``simulated_content``.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from lora_mcl.models.detections import BOX_THRESHOLD, Detections
from lora_mcl.models.image_tower import ImageTower
from lora_mcl.models.yolov3_tiny import COCO_CLASSES
from training.embedded.image.render.simulated_content import Alarm, Box, Content

CLUTTER = 0.125
"""Standard deviation of the noise on a simulated picture's head features, relative to their mean."""
BACKGROUND_ALARM = 0.15
"""Share of photographs with a false alarm where nothing stands."""
VIEW_NOISE = 0.7
"""Standard deviation of a score's log odds from view to view."""
PICTURE_SHARE = (0.85, 1.4)
"""How strongly the largest thing raises its class in the whole picture, relative to a clear view of it: the right class
then has the shares that it has in the real training photographs (median .29; here .16 to .38 at the ends of the range).
"""


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
        self, views: int, image_size: tuple[int, int], head: Tensor, contents: tuple[Content, ...], rng: random.Random
    ) -> Tensor:
        """The tower's patches [V, P, hidden_size] of a picture.

        Args:
            views: V, the base view alone or also the tile.
            image_size: (height, width) of the picture.
            head: [C] mean head features of an empty place.
        """
        generator = torch.Generator().manual_seed(rng.getrandbits(48))
        alarms = [*(alarm for content in contents for alarm in content.alarms), *self._stray(rng)]
        shown = []
        for number, view in enumerate([View(), View.tile(image_size)][:views]):
            given = [alarm for alarm in alarms if alarm.view in (None, number)]
            boxes = self.tower.detector_patches(as_detections(given, view, rng))  # [P, ...]
            tags = self.tower.picture_tags(self._picture(contents, head, generator, rng))  # [N]
            shown.append(torch.cat([tags.expand(len(boxes), -1), boxes], dim=-1))
        return F.pad(torch.stack(shown), (self.config.hidden_size, 0))

    def _picture(
        self, contents: tuple[Content, ...], head: Tensor, generator: torch.Generator, rng: random.Random
    ) -> Tensor:
        """Mean head features [C] of a view: the place's, and each thing's class the stronger the larger it is."""
        areas = [max(width * height for _, _, width, height in content.boxes) for content in contents]
        features = head + torch.randn(len(head), generator=generator) * CLUTTER * head.mean()
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

    def _stray(self, rng: random.Random) -> list[Alarm]:
        if rng.random() > BACKGROUND_ALARM:
            return []
        box = (rng.random(), rng.random(), rng.uniform(0.05, 0.3), rng.uniform(0.05, 0.3))
        return [Alarm(rng.choice(("person", *COCO_CLASSES)), rng.uniform(0.1, 0.35), box)]


def classes_of(content: Content) -> tuple[tuple[int, float], ...]:
    """The ImageNet classes that the head sees on a thing, each with its logit above the mean class."""
    main = () if content.imagenet is None else ((content.imagenet, content.strength),)
    return (*main, *content.further)


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
