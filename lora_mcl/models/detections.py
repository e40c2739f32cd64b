"""Detections of a picture as boxes, and as feature channels for the captioner.

A detection is a box with one class and one score. Non-maximum suppression keeps the best of overlapping boxes of one
class. The channels are the same whether the boxes come from a detector or are drawn by a simulation of one, so that a
captioner can be trained on more boxes than there are photographs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BOX_THRESHOLD = 0.1
"""Boxes with a lower score are dropped."""
COUNT_THRESHOLD = 0.2
"""Boxes from this score on are counted."""
OVERLAP_THRESHOLD = 0.45
"""Of two boxes of one class whose intersection over union is larger, the better one is kept."""
MAX_BOXES = 32
CHANNEL_SCALE = 50.0
"""A sure box is one channel among thousands of unit variance. At this scale it weighs as much as all of these together
in a linear layer with small random weights, and what the layer learns of it in a step is of the same order."""
MAX_COUNT = 4
"""More boxes of a class than this count as this many."""


@dataclass(frozen=True, eq=False)
class Detections:
    """N boxes in one picture, best first.

    Attributes:
        boxes: [N, 4] centre x, centre y, width and height as fractions of the picture, fp32.
        classes: [N] class indices.
        scores: [N] objectness times class probability, 0 to 1, fp32.
    """

    boxes: Tensor
    classes: Tensor
    scores: Tensor

    def __len__(self) -> int:
        return len(self.scores)

    def best_score(self, kind: int) -> float:
        """Of the boxes of one class, the best score; 0 if there is none."""
        return max(self.scores[self.classes == kind].tolist(), default=0.0)

    def mirrored(self) -> Detections:
        """The boxes in the mirrored picture."""
        x, rest = self.boxes.split([1, 3], dim=1)
        return Detections(torch.cat([1 - x, rest], dim=1), self.classes, self.scores)


def overlaps(boxes: Tensor) -> Tensor:
    """Intersection over union [N, N] of boxes [N, 4]."""
    low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
    # [N, N, 2]: width and height of each pair's intersection, 0 where they do not meet
    sides = (torch.minimum(high[:, None], high[None]) - torch.maximum(low[:, None], low[None])).clamp(min=0)
    shared, area = sides.prod(-1), boxes[:, 2:].prod(-1)
    return shared / (area[:, None] + area[None] - shared).clamp(min=1e-9)


def suppress(boxes: Tensor, scores: Tensor) -> Detections:
    """Greedy non-maximum suppression, each class on its own.

    Args:
        boxes: [M, 4] as in ``Detections``.
        scores: [M, C] of every class.
    """
    box, classes = (scores > BOX_THRESHOLD).nonzero(as_tuple=True)
    found = scores[box, classes]
    order = found.argsort(descending=True, stable=True)[: 8 * MAX_BOXES]
    box, classes, found = box[order], classes[order], found[order]
    rival = (overlaps(boxes[box]) > OVERLAP_THRESHOLD) & (classes[:, None] == classes[None])
    kept: list[int] = []
    for index in range(len(found)):
        if not bool(rival[index, kept].any()):
            kept.append(index)
        if len(kept) == MAX_BOXES:
            break
    return Detections(boxes[box[kept]].float(), classes[kept], found[kept].float())


def whole_picture(channels: Tensor, num_classes: int) -> Tensor:
    """Best score [..., num_classes] of each class in the picture, from a patch's channels [..., channel_count]."""
    return channels[..., num_classes + 2 : 2 * num_classes + 2]


def channel_count(num_classes: int) -> int:
    """Channels a patch gets: class scores and box size, then best score and count of every class in the picture."""
    return 3 * num_classes + 2


def patch_channels(found: Detections, grid: int, num_classes: int) -> Tensor:
    """Channels [grid * grid, channel_count] of a square view cut in ``grid`` x ``grid`` patches, row by row.

    Of a patch: the best score of each class among the boxes centred in it, and width and height of the best of these
    boxes, times its score. Of the whole view, in every patch: the best score of each class, and how many things of
    it there are (as a fraction of ``MAX_COUNT``): one thing is one box, of its best class.
    """
    local = torch.zeros(grid * grid, num_classes + 2)
    best, counts = torch.zeros(num_classes), torch.zeros(num_classes)
    rival = overlaps(found.boxes) > OVERLAP_THRESHOLD
    cells = (found.boxes[:, :2] * grid).long().clamp(0, grid - 1).tolist()
    counted: list[int] = []
    # Best first: the first box of a class or of a patch is the one that counts there.
    for index, ((column, row), kind, score) in enumerate(
        zip(cells, found.classes.tolist(), found.scores.tolist(), strict=True)
    ):
        patch = local[row * grid + column]
        if not patch[:num_classes].any():
            patch[num_classes:] = found.boxes[index, 2:].clamp(max=1) * score
        patch[kind] = max(float(patch[kind]), score)
        best[kind] = max(float(best[kind]), score)
        if score >= COUNT_THRESHOLD and not bool(rival[index, counted].any()):
            counted.append(index)
            counts[kind] += 1
    whole = torch.cat([best, counts.clamp(max=MAX_COUNT) / MAX_COUNT])
    return CHANNEL_SCALE * torch.cat([local, whole.expand(grid * grid, -1)], dim=1)
