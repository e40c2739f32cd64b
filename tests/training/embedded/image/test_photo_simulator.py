"""Simulated photographs: the tags and boxes of what they show, where they show it, in both views."""

import math
import random
from dataclasses import replace

import pytest
import torch

from lora_mcl.models.detections import BOX_THRESHOLD, CHANNEL_SCALE
from lora_mcl.models.image_tower import ImageTower
from lora_mcl.models.yolov3_tiny import COCO_CLASSES, NUM_CLASSES
from tests.support.embedded import tiny_image_tower
from training.embedded.image.render import photo_simulator
from training.embedded.image.render.photo_simulator import (
    PhotoSimulator,
    View,
    as_detections,
    logit,
)
from training.embedded.image.render.simulated_content import Alarm, Content
from training.embedded.image.world.scene import Thing

CAT = COCO_CLASSES.index("cat")
CLASS = 7
"""Of the tiny head's 20."""
WIDE, SQUARE = (160, 320), (256, 256)
"""Height and width of pictures."""


@pytest.fixture(scope="module")
def tower() -> ImageTower:
    """The embedded geometry with few channels; the head's classes are clearly different."""
    tower = tiny_image_tower(image_size=256, num_classes=20, tag_dim=8, mean_cell=True).eval()
    torch.nn.init.normal_(tower.classifier.classifier.weight)
    torch.nn.init.normal_(tower.classifier.tag_embedding)
    return tower


@pytest.fixture
def simulator(tower, monkeypatch) -> PhotoSimulator:
    """Without noise from view to view and without stray alarms."""
    monkeypatch.setattr(photo_simulator, "VIEW_NOISE", 0.0)
    monkeypatch.setattr(photo_simulator, "BACKGROUND_ALARM", 0.0)
    return PhotoSimulator(tower)


def shown(box, imagenet=CLASS, strength=40.0, score=0.8) -> tuple[Content, ...]:
    alarms = (Alarm("cat", score, box),) if score else ()
    return (Content(Thing("cat"), (box,), alarms, imagenet, strength, "cat"),)


def patches_of(simulator, tower, contents, size=SQUARE, views=1, seed=0):
    head = 3 * torch.rand(tower.config.classifier_config.head_width, generator=torch.Generator().manual_seed(9))
    return simulator.patches(views, size, head, contents, random.Random(seed))


def test_tags_and_boxes_alone_are_shown(simulator, tower):
    found = patches_of(simulator, tower, shown((0.5, 0.5, 0.4, 0.4)), WIDE, views=2)
    assert found.shape == (2, 16, tower.config.hidden_size)
    shapes = tower.config.classifier_config.hidden_size
    assert not found[..., :shapes].any() and found[..., shapes:].any()


def test_a_box_is_in_the_overview_as_it_is_and_in_the_tile_between_bars(simulator, tower):
    """A picture twice as wide as high: the tile's middle half holds it."""
    box = (0.9, 0.1, 0.2, 0.2)
    found = patches_of(simulator, tower, shown(box), WIDE, views=2)
    boxes = found[..., -tower.config.detector_channels :] / CHANNEL_SCALE
    overview, tile = boxes[..., CAT].unflatten(1, (4, 4))
    assert overview.nonzero().tolist() == [[0, 3]]
    assert tile.nonzero().tolist() == [[1, 3]], ".1 of the height is .25 + .05 of the tile's"
    torch.testing.assert_close(boxes[0, 3, NUM_CLASSES : NUM_CLASSES + 2], torch.tensor([0.16, 0.16]))
    torch.testing.assert_close(boxes[1, 7, NUM_CLASSES : NUM_CLASSES + 2], torch.tensor([0.16, 0.08]))
    torch.testing.assert_close(boxes[..., NUM_CLASSES + 2 + CAT], torch.full((2, 16), 0.8))
    torch.testing.assert_close(boxes[..., 2 * NUM_CLASSES + 2 + CAT], torch.full((2, 16), 0.25))


def test_a_box_of_one_view_is_in_no_other(simulator, tower):
    (content,) = shown((0.5, 0.5, 0.4, 0.4))
    for only in (0, 1):
        alarms = tuple(replace(alarm, view=only) for alarm in content.alarms)
        found = patches_of(simulator, tower, (replace(content, alarms=alarms),), WIDE, views=2)
        boxes = found[..., -tower.config.detector_channels :]
        assert boxes[only].any() and not boxes[1 - only].any()


def picture_tags_of(found, tower):
    start = tower.config.classifier_config.hidden_size
    return found[..., start : start + tower.config.tag_channels] / CHANNEL_SCALE


def test_the_picture_is_tagged_by_its_things_class_in_every_patch_and_view(simulator, tower):
    found = patches_of(simulator, tower, shown((0.5, 0.5, 0.1, 0.1)), WIDE, views=2)
    tags = picture_tags_of(found, tower)
    assert tags[..., CLASS].min() > 0.95, "a class of strength 40 is all that is likely"
    assert torch.equal(tags, tags[:, :1].expand_as(tags))
    unknown = patches_of(simulator, tower, shown((0.5, 0.5, 0.1, 0.1), imagenet=None))
    assert picture_tags_of(unknown, tower)[..., CLASS].max() < 0.95


def test_the_larger_thing_tags_the_picture_more(simulator, tower):
    other = CLASS - 1
    large, small = (shown((x, 0.5, side, side), imagenet, 12.0) for x, side, imagenet in
                    ((0.3, 0.5, CLASS), (0.8, 0.1, other)))  # fmt: skip
    found = patches_of(simulator, tower, (*large, *small))
    tags = picture_tags_of(found, tower)[0, 0]
    assert tags[CLASS] > tags[other]


def test_views_by_hand():
    assert View().box((0.3, 0.4, 0.1, 0.2)) == (0.3, 0.4, 0.1, 0.2)
    assert View.tile(SQUARE) == View()
    assert View.tile((100, 400)).box((0.5, 0.5, 1.0, 1.0)) == (0.5, 0.5, 1.0, 0.25)
    assert View.tile((400, 100)).box((0.0, 1.0, 0.4, 0.2)) == pytest.approx((0.375, 1.0, 0.1, 0.2))


def test_the_same_draw_gives_the_same_photograph(tower):
    simulator = PhotoSimulator(tower)
    one, again, other = (patches_of(simulator, tower, shown((0.5, 0.5, 0.4, 0.4)), seed=seed) for seed in (3, 3, 4))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_boxes_are_sorted_weak_ones_dropped_and_sure_ones_stay_sure():
    alarms = [Alarm("cat", score, (0.5, 0.5, 0.1, 0.1)) for score in (0.3, 0.95, 0.02, 0.6)]
    rng = random.Random(0)
    sets = [as_detections(alarms, View(), rng) for _ in range(200)]
    for found in sets:
        assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
        assert found.scores.min() > BOX_THRESHOLD and set(found.classes.tolist()) == {CAT}
    assert all(found.scores[0] > 0.6 for found in sets)
    assert len({len(found) for found in sets}) > 1, "a box may be found in one view and not in the other"
    none = as_detections([], View(), rng)
    assert none.boxes.shape == (0, 4) and len(none) == 0


def test_log_odds_by_hand():
    assert logit(0.5) == 0 and logit(0.8) == pytest.approx(math.log(4))
    assert (logit(0.0), logit(1.0)) == (-7, 7)


def test_stray_alarms_come_as_often_as_measured(tower):
    simulator, rng = PhotoSimulator(tower), random.Random(0)
    drawn = [simulator._stray(rng) for _ in range(2000)]
    assert sum(map(bool, drawn)) / 2000 == pytest.approx(photo_simulator.BACKGROUND_ALARM, abs=0.03)
    assert {alarm.coco for alarms in drawn for alarm in alarms} <= set(COCO_CLASSES)
