"""The image model's samples: composed scenes, simulated and real photographs, mirrored or not."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from lora_mcl.models import ImageTowerConfig
from tests.support.embedded import tiny_image_tower
from training.embedded.common.dataset import CachedFeatures
from training.embedded.common.domain import Item
from training.embedded.image.captions.grammar import Grammar
from training.embedded.image.captions.parser import load_parser
from training.embedded.image.dataset import EmptyPlaces, ImageDataset
from training.embedded.image.render.patches import mirror
from training.embedded.image.render.photo_simulator import PhotoSimulator
from training.embedded.image.render.simulated_content import CLEAR, ContentSampler
from training.embedded.image.world.lexicon import load_lexicon
from training.embedded.image.world.places import load_places
from training.embedded.image.world.scene import Scene, Thing

GRAMMAR = Grammar(load_lexicon(), load_places())
TOWER = tiny_image_tower(image_size=256, num_classes=1000, tag_dim=8, mean_cell=True).eval()
WIDTH = TOWER.config.hidden_size
LEFT_CAT = Scene("forest", (Thing("cat", slot="left"),))


def cached(scenes, size=(320, 320), views=1, seed=0) -> CachedFeatures:
    items = tuple(Item(scene, size, tuple(range(views * row, views * row + views))) for row, scene in enumerate(scenes))
    array = np.random.default_rng(seed).random((views * len(items), 16, WIDTH), dtype=np.float32)
    return CachedFeatures(items, (array.astype(np.float16),), (0,) * len(items))


COMPOSED = cached([LEFT_CAT] * 6)
PHOTOGRAPHS = cached([Scene(None, (Thing("koala"),))] * 3, seed=1)
EMPTY = EmptyPlaces(
    cached([Scene("beach", ()), Scene("desert", ())], seed=2),
    (np.random.default_rng(3).random((2, TOWER.config.classifier_config.head_width), dtype=np.float32),),
)


def dataset(length=60, **options) -> ImageDataset:
    simulation = {
        "simulator": PhotoSimulator(TOWER),
        "contents": ContentSampler(load_lexicon()),
        "backgrounds": EMPTY,
    }
    return ImageDataset(COMPOSED, GRAMMAR, length, 3, tower=TOWER.config, **(simulation | options))


def shapes_of(patches: torch.Tensor) -> torch.Tensor:
    patches = patches.clone()
    patches[..., TOWER.config.classifier_config.hidden_size :] = 0
    return patches


def test_each_kind_of_sample_has_its_share():
    samples = dataset(400, simulated_share=0.3, photographs=PHOTOGRAPHS, photograph_share=0.2)
    kinds = Counter()
    for number in range(400):
        scene = samples[number].item.scene
        photograph = scene.things == (Thing("koala"),) and scene.place is None
        kinds["composed" if scene in (LEFT_CAT, LEFT_CAT.mirrored()) else "real" if photograph else "simulated"] += 1
    assert kinds["simulated"] / 400 == pytest.approx(0.3, abs=0.08)
    assert kinds["real"] / 400 == pytest.approx(0.2, abs=0.07)


def test_half_of_the_pictures_are_mirrored_with_their_scenes():
    samples = dataset(200)
    mirrored = 0
    for number in range(200):
        sample, index = samples[number], samples.shuffled(number, len(COMPOSED))
        if sample.item.scene == LEFT_CAT:
            assert torch.equal(sample.features, shapes_of(COMPOSED.features(index)))
        else:
            assert sample.item.scene == LEFT_CAT.mirrored()
            assert torch.equal(sample.features, shapes_of(mirror(COMPOSED.features(index), TOWER.config)))
            mirrored += 1
    assert 70 < mirrored < 130


def test_simulated_photographs_are_captioned_as_what_they_show():
    samples = dataset(simulated_share=1.0)
    for number in range(40):
        sample = samples[number]
        assert sample.features.shape == (1, 16, WIDTH) and sample.features.isfinite().all()
        parsed = load_parser().parse(sample.caption)
        assert set(parsed.things) == {(thing.concept, thing.count) for thing in sample.item.scene.things}
        assert parsed.place == (None if sample.mode == "en-objects" else sample.item.scene.place)


def test_few_simulated_photographs_name_their_place():
    samples = dataset(300, simulated_share=1.0)
    places = Counter(samples[number].item.scene.place for number in range(300))
    assert set(places) == {None, "beach", "desert"}
    assert 1 - places[None] / 300 == pytest.approx(CLEAR.place_named, abs=0.08)


def test_some_real_photographs_do_not_name_their_place():
    beach = cached([Scene("beach", (Thing("koala"),))] * 2, (256, 256), views=1)
    contents = ContentSampler(load_lexicon(), replace(CLEAR, real_place_named=0.6))
    source = {"photographs": beach, "photograph_share": 1.0}
    named = [dataset(200, **source, contents=contents)[number].item.scene.place for number in range(200)]
    assert set(named) == {None, "beach"} and 0.45 < named.count("beach") / 200 < 0.75
    assert all(dataset(20, **source)[number].item.scene.place == "beach" for number in range(20))
    assert {item.scene.place for item in beach.items} == {"beach"}, "what is cached stays"


def test_photographs_are_shown_by_tags_and_boxes_alone_and_drawings_by_shapes_alone():
    shapes = TOWER.config.classifier_config.hidden_size
    for source in ({"simulated_share": 1.0}, {"photographs": PHOTOGRAPHS, "photograph_share": 1.0}):
        samples = dataset(30, **source)
        assert not any(samples[number].features[..., :shapes].any() for number in range(30))
        assert any(samples[number].features[..., shapes:].any() for number in range(30))
    composed = dataset(30)
    assert all(composed[number].features[..., :shapes].any() for number in range(30))
    assert not any(composed[number].features[..., shapes:].any() for number in range(30))
    assert COMPOSED.features(0)[..., shapes:].any(), "what is cached stays"


def test_both_views_of_a_wide_place_are_simulated():
    wide = EmptyPlaces(cached([Scene("beach", ())] * 2, (240, 320), views=2), EMPTY.heads)
    sample = dataset(simulated_share=1.0, backgrounds=wide)[0]
    assert sample.item.size == (240, 320) and sample.features.shape == (2, 16, WIDTH)


def test_head_features_are_of_the_same_place_in_every_shard():
    features = CachedFeatures(EMPTY.cached.items, (EMPTY.cached.arrays[0][:1], EMPTY.cached.arrays[0][1:]), (0, 1))
    heads = EmptyPlaces(features, (EMPTY.heads[0][:1], EMPTY.heads[0][1:]))
    assert torch.equal(heads.head(1), EMPTY.head(1)) and not torch.equal(heads.head(0), heads.head(1))


@pytest.mark.parametrize("missing", ["simulator", "contents", "backgrounds"])
def test_simulated_photographs_need_all_they_are_made_of(missing):
    with pytest.raises(ValueError, match="simulated_share needs simulator, backgrounds and contents"):
        dataset(simulated_share=0.5, **{missing: None})


def test_the_default_layout_is_the_embedded_towers():
    assert ImageDataset(COMPOSED, GRAMMAR, 4, 0).tower.to_dict() == ImageTowerConfig().to_dict()
