"""Boxes and the channels made of them, against hand values and slow loops."""

import random

import pytest
import torch

from lora_mcl.models.detections import (
    BOX_THRESHOLD,
    CHANNEL_SCALE,
    MAX_BOXES,
    OVERLAP_THRESHOLD,
    Detections,
    channel_count,
    overlaps,
    patch_channels,
    suppress,
    whole_picture,
)


def detections(*found: tuple[tuple[float, float, float, float], int, float]) -> Detections:
    """Detections of (box, class, score), best first."""
    boxes, classes, scores = zip(*found, strict=True) if found else ((), (), ())
    return Detections(torch.tensor(boxes).reshape(-1, 4), torch.tensor(classes, dtype=torch.long), torch.tensor(scores))


def overlap(a, b) -> float:
    sides = []
    for axis in (0, 1):
        high = min(a[axis] + a[2 + axis] / 2, b[axis] + b[2 + axis] / 2)
        low = max(a[axis] - a[2 + axis] / 2, b[axis] - b[2 + axis] / 2)
        sides.append(max(high - low, 0))
    shared = sides[0] * sides[1]
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def test_overlap_by_hand():
    boxes = torch.tensor([[0.5, 0.5, 0.4, 0.4], [0.7, 0.5, 0.4, 0.4], [0.1, 0.1, 0.1, 0.1]])
    torch.testing.assert_close(overlaps(boxes), torch.tensor([[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]]))


@pytest.mark.parametrize("seed", range(4))
def test_suppression_equals_a_loop(seed):
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.rand(60, 4, generator=generator)
    boxes[:, 2:] = 0.1 + 0.5 * boxes[:, 2:]
    scores = torch.rand(60, 5, generator=generator) ** 6
    kept = []
    for score, box, kind in sorted(
        ((float(scores[b, c]), b, c) for b in range(60) for c in range(5) if scores[b, c] > BOX_THRESHOLD),
        reverse=True,
    ):
        rivals = [other for other, other_kind, _ in kept if other_kind == kind]
        if all(overlap(boxes[box].tolist(), boxes[other].tolist()) <= OVERLAP_THRESHOLD for other in rivals):
            kept.append((box, kind, score))
    found = suppress(boxes, scores)
    assert len(kept) > 20 and len(found) == min(len(kept), MAX_BOXES)
    kept = kept[:MAX_BOXES]
    assert found.classes.tolist() == [kind for _, kind, _ in kept]
    assert torch.equal(found.boxes, boxes[[box for box, _, _ in kept]])
    assert found.scores.tolist() == pytest.approx([score for _, _, score in kept])


def test_nothing_found_is_no_boxes():
    found = suppress(torch.rand(6, 4), torch.full((6, 3), BOX_THRESHOLD))
    assert len(found) == 0 and found.boxes.shape == (0, 4)
    assert not patch_channels(found, 4, 3).any()


def test_one_box_may_have_two_classes():
    found = suppress(torch.tensor([[0.5, 0.5, 0.2, 0.2]]), torch.tensor([[0.4, 0.7]]))
    assert found.classes.tolist() == [1, 0]
    assert found.scores.tolist() == pytest.approx([0.7, 0.4])


def test_channels_by_hand():
    """Two classes on a grid of 2: two things of class 0, one box of them also called class 1."""
    found = detections(
        ((0.2, 0.2, 0.4, 0.3), 0, 0.9),  # top left
        ((0.2, 0.2, 0.4, 0.3), 1, 0.8),  # the same box by another name: no second thing
        ((0.8, 0.8, 0.2, 0.2), 0, 0.5),  # bottom right
        ((0.7, 0.9, 0.1, 0.1), 1, 0.15),  # too weak to count
    )
    channels = patch_channels(found, 2, 2) / CHANNEL_SCALE
    assert channels.shape == (4, channel_count(2)) == (4, 8)
    local, whole = channels[:, :4], channels[:, 4:]
    torch.testing.assert_close(local[0], torch.tensor([0.9, 0.8, 0.4 * 0.9, 0.3 * 0.9]))
    torch.testing.assert_close(local[3], torch.tensor([0.5, 0.15, 0.2 * 0.5, 0.2 * 0.5]))
    assert not local[1:3].any()
    torch.testing.assert_close(whole, torch.tensor([0.9, 0.8, 2 / 4, 0.0]).expand(4, -1))
    torch.testing.assert_close(whole_picture(channels, 2), torch.tensor([0.9, 0.8]).expand(4, -1))
    assert (found.best_score(0), found.best_score(1), found.best_score(2)) == pytest.approx((0.9, 0.8, 0))


def test_a_crowd_counts_as_the_most():
    spots = [(x, y, 0.1, 0.1) for x in (0.1, 0.5, 0.9) for y in (0.2, 0.8)]
    channels = patch_channels(detections(*((spot, 0, 0.6) for spot in spots)), 4, 1) / CHANNEL_SCALE
    assert channels[:, -1].tolist() == [1.0] * 16


def test_boxes_beyond_the_edge_belong_to_the_edge_and_are_no_larger_than_the_picture():
    channels = patch_channels(detections(((1.0, -0.1, 1.5, 2.0), 0, 0.5)), 4, 1) / CHANNEL_SCALE
    assert channels[:, 0].nonzero().tolist() == [[3]], "top right"
    torch.testing.assert_close(channels[3, 1:3], torch.tensor([0.5, 0.5]))


@pytest.mark.parametrize("seed", range(3))
def test_mirrored_boxes_give_mirrored_patches(seed):
    rng = random.Random(seed)
    found = detections(
        *(
            ((rng.random(), rng.random(), rng.random(), rng.random()), rng.randrange(3), score)
            for score in sorted((rng.uniform(0.1, 1) for _ in range(8)), reverse=True)
        )
    )
    channels, mirrored = patch_channels(found, 4, 3), patch_channels(found.mirrored(), 4, 3)
    torch.testing.assert_close(mirrored.view(4, 4, -1), channels.view(4, 4, -1).flip(1))
    torch.testing.assert_close(found.mirrored().mirrored().boxes, found.boxes)
