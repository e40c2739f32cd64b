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
from training.embedded.image.render.patches import split_mean, to_cells, to_patches
from training.embedded.image.render.photo_simulator import (
    PhotoSimulator,
    View,
    as_detections,
    box_mask,
    logit,
    scrambled,
)
from training.embedded.image.render.simulated_content import Alarm, Content
from training.embedded.image.world.scene import SLOTS, Thing

CAT = COCO_CLASSES.index("cat")
CLASS = 7
"""Of the tiny head's 20."""
STRAYS = {3, 10}
"""Others that it gives for features drawn for them, though these leave the activation's range."""
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
    config = tower.config.classifier_config
    generator = torch.Generator().manual_seed(9)
    background = torch.randn(views, 16, config.hidden_size, generator=generator)
    head = 3 * torch.rand(config.head_width, generator=generator)
    donor = torch.randn(16, config.hidden_size, generator=generator)
    before = background.clone()
    found = simulator.patches(background, size, head, donor, contents, random.Random(seed))
    assert torch.equal(background, before), "the cache is left as it is"
    return background, found


def cells_of(patches, config):
    return to_cells(split_mean(patches[..., : config.hidden_size], config)[0], config.cells_per_patch)


@pytest.mark.parametrize("slot", SLOTS)
def test_a_strong_class_gives_its_tag_where_the_thing_stands(simulator, tower, slot):
    config = tower.config.classifier_config
    column = 1 + 3 * SLOTS.index(slot)  # of 8
    box = ((column + 0.5) / 8, 0.56, 0.3, 0.4)
    background, found = patches_of(simulator, tower, shown(box))
    assert found.shape == (1, 16, tower.config.hidden_size)
    before, after = cells_of(background, config)[0], cells_of(found, config)[0]
    similar = torch.cosine_similarity(
        after[4, column, config.shape_width :][None], tower.classifier.tag_embedding, dim=-1
    )
    assert similar.argmax() == CLASS and similar[CLASS] > 0.95
    changed = (before != after).any(-1)
    assert torch.equal(changed, box_mask([box], 8) > 0), "only the cells of the thing change"
    assert changed[:, column].any() and not changed.all()


def tags_in(simulator, tower, content: Content) -> torch.Tensor:
    """The most alike class of each cell inside the box."""
    config = tower.config.classifier_config
    background, found = patches_of(simulator, tower, (content,))
    before, after = cells_of(background, config)[0], cells_of(found, config)[0]
    inside = box_mask(list(content.boxes), 8) == 1
    assert not torch.equal(before[inside], after[inside])
    return torch.cosine_similarity(
        after[inside][:, None, config.shape_width :], tower.classifier.tag_embedding[None], dim=-1
    ).argmax(-1)


def test_stray_cells_show_classes_of_their_own(simulator, tower):
    (content,) = shown((0.5, 0.5, 0.9, 0.9))
    assert set(tags_in(simulator, tower, content).tolist()) == {CLASS}
    strays = tuple((index, 60.0) for index in STRAYS)
    some = tags_in(simulator, tower, replace(content, strays=strays, stray_share=0.5)).tolist()
    assert set(some) == {CLASS, *STRAYS} and 0.2 < some.count(CLASS) / len(some) < 0.8
    assert set(tags_in(simulator, tower, replace(content, strays=strays, stray_share=1.0)).tolist()) == STRAYS


def test_cells_show_the_class_more_strongly_than_the_picture(simulator, tower):
    (content,) = shown((0.5, 0.5, 0.9, 0.9), strength=15.0)
    more = tags_in(simulator, tower, replace(content, cell_gain=3.0)).tolist()
    less = tags_in(simulator, tower, replace(content, cell_gain=0.1)).tolist()
    assert set(more) == {CLASS} and less.count(CLASS) < len(less)
    plain, strong = (
        picture_tags_of(patches_of(simulator, tower, (replace(content, cell_gain=gain),))[1], tower)
        for gain in (1.0, 3.0)
    )
    assert torch.equal(plain, strong)


def test_without_a_class_the_thing_has_the_places_tags(simulator, tower):
    config = tower.config.classifier_config
    _, weak = patches_of(simulator, tower, shown((0.5, 0.5, 0.4, 0.4), imagenet=None))
    tags = cells_of(weak, config)[0, 4, 4, config.shape_width :]
    similar = torch.cosine_similarity(tags[None], tower.classifier.tag_embedding, dim=-1)
    assert similar.argmax() != CLASS


def test_the_mean_cell_is_of_what_is_now_there(simulator, tower):
    config = tower.config.classifier_config
    _, found = patches_of(simulator, tower, shown((0.5, 0.5, 0.5, 0.5)), WIDE, views=2)
    own, mean = split_mean(found[..., : config.hidden_size], config)
    want = to_cells(own, config.cells_per_patch).mean((1, 2))
    torch.testing.assert_close(mean, want[:, None].expand(-1, 16, -1))


def test_a_box_is_in_the_overview_as_it_is_and_in_the_tile_between_bars(simulator, tower):
    """A picture twice as wide as high: the tile's middle half holds it."""
    box = (0.9, 0.1, 0.2, 0.2)
    _, found = patches_of(simulator, tower, shown(box), WIDE, views=2)
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
        _, found = patches_of(simulator, tower, (replace(content, alarms=alarms),), WIDE, views=2)
        boxes = found[..., -tower.config.detector_channels :]
        assert boxes[only].any() and not boxes[1 - only].any()


def picture_tags_of(found, tower):
    start = tower.config.classifier_config.hidden_size
    return found[..., start : start + tower.config.tag_channels] / CHANNEL_SCALE


def test_the_picture_is_tagged_by_its_things_class_in_every_patch_and_view(simulator, tower):
    _, found = patches_of(simulator, tower, shown((0.5, 0.5, 0.1, 0.1)), WIDE, views=2)
    tags = picture_tags_of(found, tower)
    assert tags[..., CLASS].min() > 0.95, "a class of strength 40 is all that is likely"
    assert torch.equal(tags, tags[:, :1].expand_as(tags))
    _, unknown = patches_of(simulator, tower, shown((0.5, 0.5, 0.1, 0.1), imagenet=None))
    assert picture_tags_of(unknown, tower)[..., CLASS].max() < 0.95


def test_the_larger_thing_tags_the_picture_more(simulator, tower):
    other = CLASS - 1
    large, small = (shown((x, 0.5, side, side), imagenet, 12.0) for x, side, imagenet in
                    ((0.3, 0.5, CLASS), (0.8, 0.1, other)))  # fmt: skip
    _, found = patches_of(simulator, tower, (*large, *small))
    tags = picture_tags_of(found, tower)[0, 0]
    assert tags[CLASS] > tags[other]


def test_views_by_hand():
    assert View().box((0.3, 0.4, 0.1, 0.2)) == (0.3, 0.4, 0.1, 0.2)
    assert View.tile(SQUARE) == View()
    assert View.tile((100, 400)).box((0.5, 0.5, 1.0, 1.0)) == (0.5, 0.5, 1.0, 0.25)
    assert View.tile((400, 100)).box((0.0, 1.0, 0.4, 0.2)) == pytest.approx((0.375, 1.0, 0.1, 0.2))


def test_the_same_draw_gives_the_same_photograph(tower):
    simulator = PhotoSimulator(tower)
    one, again, other = (patches_of(simulator, tower, shown((0.5, 0.5, 0.4, 0.4)), seed=seed)[1] for seed in (3, 3, 4))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_shapes_are_noise_or_another_pictures(simulator, tower):
    config = tower.config.classifier_config
    box = (0.5, 0.5, 0.6, 0.6)
    borrowed = set()
    for seed in range(12):
        generator = torch.Generator().manual_seed(9)
        torch.randn(1, 16, config.hidden_size, generator=generator)
        torch.rand(config.head_width, generator=generator)
        donor = cells_of(torch.randn(16, config.hidden_size, generator=generator), config)
        _, found = patches_of(simulator, tower, shown(box), seed=seed)
        cells = cells_of(found, config)[0]
        borrowed.add(torch.allclose(cells[4, 4, : config.shape_width], donor[4, 4, : config.shape_width]))
    assert borrowed == {True, False}


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


def test_a_mask_is_of_the_box():
    mask = box_mask([(0.25, 0.75, 0.5, 0.5)], 8)
    assert mask[5, 2] == mask[6, 1] == 1 and not mask[:3].any() and not mask[:, 6:].any()
    assert box_mask([(0.06, 0.06, 0.01, 0.01)], 8)[0, 0] == 1, "a thing smaller than a cell is in one"


def test_a_scrambled_background_is_cells_of_all_places():
    grid, width = 8, 6
    # Cells hold their place and where they come from.
    places = []
    for place in range(3):
        cells = torch.stack(
            [
                torch.stack([torch.tensor([place, view, row, column, 0, 0]) for column in range(grid)])
                for view in range(2)
                for row in range(grid)
            ]
        ).view(2, grid, grid, width)
        places.append(to_patches(cells.float(), 2))
    mixed = to_cells(scrambled(places, 2, 4 * width, random.Random(0)), 2)
    assert mixed.shape == (2, grid, grid, width)
    assert set(mixed[..., 0].flatten().tolist()) == {0, 1, 2}
    assert (mixed[0, ..., 1] == 0).all() and (mixed[1, ..., 1] == 1).all(), "views are not mixed"
    assert torch.equal(mixed[0, ..., [0, 2, 3]], mixed[1, ..., [0, 2, 3]]), "both views show the same cells"
    moved = (mixed[0, ..., 2] != torch.arange(grid)[:, None]).float().mean()
    assert moved > 0.7
