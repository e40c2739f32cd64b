"""Sampling and painting scenes, and the layout of cached tower outputs."""

import random

import numpy as np
import pytest
import torch
from PIL import Image

from lora_mcl.models import EfficientNetTowerConfig, ImageTowerConfig
from lora_mcl.models.detections import Detections
from tests.support.embedded import tiny_image_tower
from training.embedded.image.material.assets import PACK_DIR, Material
from training.embedded.image.render.patches import mirror, to_cells, to_patches
from training.embedded.image.render.render import Background, render
from training.embedded.image.world.lexicon import Concept, load_lexicon
from training.embedded.image.world.sampler import MAX_COPIES, sample_scene
from training.embedded.image.world.scene import SLOTS, Scene, Thing

CONCEPTS, PLACES = ["cat", "dog", "apple", "bus"], ["beach", "forest"]


@pytest.mark.parametrize(
    ("things", "message"),
    [
        ((Thing("cat", slot="right"), Thing("dog", slot="left")), "left to right"),
        ((Thing("cat", slot="left"), Thing("dog", slot="left")), "different slots"),
        ((Thing("cat", slot="left"), Thing("cat", slot="right")), "different concepts"),
    ],
)
def test_impossible_scenes_are_refused(things, message):
    with pytest.raises(ValueError, match=message):
        Scene("beach", things)


def test_a_mirrored_scene_swaps_left_and_right_and_keeps_their_order():
    scene = Scene("beach", (Thing("cat", 2, slot="left"), Thing("dog", slot="middle")))
    mirrored = scene.mirrored()
    assert [(thing.concept, thing.slot) for thing in mirrored.things] == [("dog", "middle"), ("cat", "right")]
    assert mirrored.mirrored() == scene


def test_sampled_scenes_keep_the_rules():
    rng = random.Random(0)
    scenes = [sample_scene(rng, CONCEPTS, PLACES) for _ in range(2000)]
    assert {len(scene.things) for scene in scenes} == {1, 2, 3}
    assert {thing.count for scene in scenes for thing in scene.things} == {1, 2, 3}
    assert all(sum(thing.count for thing in scene.things) <= MAX_COPIES for scene in scenes)
    large = [thing for scene in scenes for thing in scene.things if thing.size == "large"]
    assert large and all(thing.count == 1 for thing in large)


def paint(seed: int, scene: Scene) -> Image.Image:
    sprite = Image.new("RGBA", (100, 80), (220, 30, 30, 255))
    background = Background(Image.new("RGB", (640, 480), (90, 160, 90)), 0.7)
    return render(scene, background, lambda _: sprite, lambda _: 1.0, random.Random(seed), aspects=((4 / 3, 1.0),))


def red(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image, dtype=np.int32)
    return (pixels[..., 0] > 120) & (pixels[..., 1] < 110)


@pytest.mark.parametrize("slot", SLOTS)
def test_a_thing_is_painted_in_its_slot(slot):
    columns = red(paint(3, Scene("forest", (Thing("cat", slot=slot),)))).any(0).nonzero()[0]
    centre = (columns.min() + columns.max()) / 2 / 427
    assert SLOTS.index(slot) == int(centre * 3)


def test_painting_is_deterministic_and_counts_cover_more():
    one, three = Scene("forest", (Thing("cat"),)), Scene("forest", (Thing("cat", 3),))
    assert paint(5, one).tobytes() == paint(5, one).tobytes()
    assert paint(5, one).size == (427, 320)
    assert red(paint(5, three)).sum() > 1.5 * red(paint(5, one)).sum()
    assert not red(paint(5, Scene("forest", ()))).any()


def test_cells_and_patches_are_inverse():
    patches = torch.randn(2, 16, 4 * 6)
    cells = to_cells(patches, 2)
    assert cells.shape == (2, 8, 8, 6)
    assert torch.equal(to_patches(cells, 2), patches)
    # The second cell of the first patch's second row is in the grid's second row and column.
    assert torch.equal(cells[:, 1, 1], patches[:, 0, 18:])


@pytest.mark.parametrize("mean_cell", [False, True])
def test_mirroring_exchanges_columns_alone(mean_cell):
    classifier = EfficientNetTowerConfig(stage_widths=(1, 1, 1, 1, 1, 1, 2), tag_dim=2, mean_cell=mean_cell)
    config = ImageTowerConfig(classifier_config=classifier)
    assert classifier.cell_width == 6 and config.grid == 4
    own, mean = torch.randn(2, 16, 24), torch.randn(2, 16, 6 if mean_cell else 0)
    tags, boxes = torch.randn(2, 16, config.tag_channels), torch.randn(2, 16, config.detector_channels)
    patches = torch.cat([own, mean, tags, boxes], -1)
    mirrored = mirror(patches, config)
    assert torch.equal(to_cells(mirrored[..., :24], 2), to_cells(own, 2).flip(2))
    whole = torch.cat([mean, tags], -1)
    assert torch.equal(mirrored[..., 24 : 24 + whole.shape[-1]], whole), "what holds of the whole picture is the same"
    across = boxes.unflatten(1, (4, 4))
    assert torch.equal(mirrored[..., -config.detector_channels :].unflatten(1, (4, 4)), across.flip(2))
    assert torch.equal(mirror(mirrored, config), patches)


def test_mirrored_patches_are_those_of_mirrored_boxes():
    """What the cache holds of a picture's boxes, mirrored, is what the mirrored boxes give."""
    tower = tiny_image_tower(image_size=256)
    found = Detections(
        torch.tensor([[0.1, 0.3, 0.2, 0.4], [0.9, 0.8, 0.1, 0.3]]), torch.tensor([16, 0]), torch.tensor([0.9, 0.4])
    )
    width = tower.config.classifier_config.hidden_size + tower.config.tag_channels
    patches = torch.cat([torch.randn(16, width), tower.detector_patches(found)], -1)
    mirrored = mirror(patches, tower.config)
    torch.testing.assert_close(mirrored[:, width:], tower.detector_patches(found.mirrored()))


def test_training_and_test_material_share_nothing_and_the_pack_suffices():
    train, test = Material("train", PACK_DIR), Material("test", PACK_DIR)
    assert len(train.concepts) >= 150 and len(test.concepts) >= 150
    lexicon: dict[str, Concept] = load_lexicon()
    rng = random.Random(0)
    scene = sample_scene(rng, train.concepts, train.places)
    image = render(
        scene,
        train.background(scene.place, rng),
        lambda concept: train.sprite(concept, rng),
        lambda concept: lexicon[concept].size,
        rng,
    )
    assert image.mode == "RGB"
    assert np.asarray(image).reshape(-1, 3).std(axis=0).min() > 5  # it shows something
