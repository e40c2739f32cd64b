"""Sampling and painting scenes, cached tower outputs, and the training stream."""

import random

import numpy as np
import pytest
import torch
from PIL import Image

from lora_mcl.models.efficientnet import EfficientNetTower, EfficientNetTowerConfig
from training.embedded.common.dataset import CachedFeatures
from training.embedded.common.domain import Item
from training.embedded.image.captions.grammar import Grammar
from training.embedded.image.dataset import EmptyPlaces, ImageDataset
from training.embedded.image.material.assets import PACK_DIR, Material
from training.embedded.image.render.patches import (
    PhotoSimulator,
    mirror,
    split_mean,
    to_cells,
    to_patches,
)
from training.embedded.image.render.render import Background, render
from training.embedded.image.world.lexicon import Concept, load_lexicon
from training.embedded.image.world.places import load_places
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


def test_cells_and_patches_are_inverse_and_mirroring_flips_columns():
    patches = torch.randn(2, 16, 4 * 6)
    cells = to_cells(patches, 2)
    assert cells.shape == (2, 8, 8, 6)
    assert torch.equal(to_patches(cells, 2), patches)
    config = EfficientNetTowerConfig(stage_widths=(1, 1, 1, 1, 1, 1, 2), tag_dim=2)
    assert config.cell_width == 6
    assert torch.equal(to_cells(mirror(patches, config), 2), cells.flip(2))
    with_mean = torch.cat([patches, torch.randn(2, 16, 6)], -1)
    assert torch.equal(mirror(with_mean, config), torch.cat([mirror(patches, config), with_mean[..., 24:]], -1))


@pytest.fixture(scope="module")
def tower() -> EfficientNetTower:
    torch.manual_seed(0)
    config = EfficientNetTowerConfig(head_width=32, num_classes=20, tag_dim=8)
    return EfficientNetTower(config).eval()


def test_patches_are_what_the_tower_assembles(tower):
    shapes, head = torch.randn(1, 8, 8, 624), torch.rand(1, 8, 8, 32) * 6
    patches = tower.assemble(shapes, tower.probabilities(head))
    assert torch.equal(to_cells(patches, 2)[..., :624], shapes)


def test_a_patch_may_end_with_the_mean_cell():
    config = EfficientNetTowerConfig(head_width=32, num_classes=20, tag_dim=8, mean_cell=True)
    assert (config.cell_width, config.hidden_size) == (632, 5 * 632)
    tower = EfficientNetTower(config).eval()
    shapes, head = torch.randn(2, 8, 8, 624), torch.rand(2, 8, 8, 32)
    patches = tower.assemble(shapes, tower.probabilities(head))
    own, mean = split_mean(patches, config)
    torch.testing.assert_close(mean, to_cells(own, 2).mean((1, 2))[:, None].expand(-1, 16, -1))
    placed, _ = PhotoSimulator(tower).place(patches[0].detach(), head[0], 7, "left", random.Random(1))
    own, mean = split_mean(placed, config)
    torch.testing.assert_close(mean[0], to_cells(own, 2).mean((0, 1)), msg="the mean is of what is now there")
    assert tower(torch.zeros(1, 3, 256, 256)).last_hidden_state.shape == (1, 17, config.hidden_size)


@pytest.mark.parametrize("slot", SLOTS)
def test_a_simulated_photograph_shows_its_class_in_its_slot(tower, slot):
    torch.nn.init.normal_(tower.classifier.weight)
    shapes, head = torch.randn(1, 8, 8, 624), torch.rand(1, 8, 8, 32)
    patches = tower.assemble(shapes, tower.probabilities(head))[0].detach()
    placed, seen = PhotoSimulator(tower).place(patches, head[0], 7, slot, random.Random(1))
    winners = (tower.classifier(seen) - tower.classifier(head[0])).mean(0).argmax(-1)
    column = round((SLOTS.index(slot) + 0.5) / 3 * 8 - 0.5)
    assert winners[column] == 7
    assert (seen >= 0).all()
    changed = (to_cells(placed, 2) != to_cells(patches, 2)).any(-1)
    assert changed[:, column].any() and not changed.all(), "only the cells of the thing change"
    tags = tower.probabilities(seen[None])[0] @ tower.tag_embedding
    torch.testing.assert_close(to_cells(placed, 2)[..., 624:], tags)


def test_simulated_photographs_are_captioned_as_what_they_show(tower):
    rng = random.Random(0)
    items = tuple(Item(sample_scene(rng, CONCEPTS, PLACES), (320, 320), (i,)) for i in range(6))
    composed = CachedFeatures(items, (np.random.default_rng(0).random((6, 16, 4 * 632), dtype=np.float32),), (0,) * 6)
    empty = EmptyPlaces(
        CachedFeatures((Item(Scene("beach", ()), (320, 320), (0,)),), composed.arrays, (0,)),
        (np.random.default_rng(1).random((1, 8, 8, 32), dtype=np.float32),),
    )
    samples = ImageDataset(
        composed,
        Grammar(load_lexicon(), load_places()),
        40,
        3,
        simulator=PhotoSimulator(tower),
        backgrounds=empty,
        classes={"cat": (1, 2), "bus": (3,)},
        simulated_share=0.3,
    )
    simulated = [
        sample for n in range(40) if not (sample := samples[n]).item.rows and sample.item.scene.place == "beach"
    ]
    assert simulated and all(sample.features.shape == (1, 16, 4 * 632) for sample in simulated)
    again = samples[5]
    assert torch.equal(again.features, samples[5].features)


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
