"""Training samples over cached features: what a sample depends on, who captions it, and what the model gets of it."""

import random
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from lora_mcl.models import ImageTowerConfig
from lora_mcl.trainer.batch import caption_nll
from tests.support.embedded import DOMAINS, build_tiny, in_folder
from training.embedded.audio.captions import grammar as audio_grammar
from training.embedded.audio.captions.parser import load_parser
from training.embedded.audio.dataset import AudioDataset, ClipItem
from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.audio.world.scene import Event, Scene
from training.embedded.common.base_module import BaseModule
from training.embedded.common.collator import SampleCollator, encode_prompts, with_dropout
from training.embedded.common.dataset import CachedFeatures, Sample
from training.embedded.common.domain import PROMPT, Item
from training.embedded.image.captions import grammar as image_grammar
from training.embedded.image.dataset import ImageDataset
from training.embedded.image.world.sampler import sample_scene


def pictures(count: int = 6) -> CachedFeatures:
    rng = random.Random(0)
    scenes = [sample_scene(rng, ["cat", "bus", "apple"], ["beach", "forest"]) for _ in range(count)]
    items = tuple(Item(scene, (320, 320), (row,)) for row, scene in enumerate(scenes))
    array = np.random.default_rng(0).random((count, 16, ImageTowerConfig().hidden_size), dtype=np.float32)
    return CachedFeatures(items, (array,), (0,) * count)


def clips(count: int, samples: int, seed: int = 0) -> CachedFeatures:
    rng = random.Random(seed)
    sounds = load_lexicon().events
    items = tuple(
        ClipItem(Scene("rain", (Event(rng.choice(sounds)),)), samples, (row,), (((0.5, 1.0),),)) for row in range(count)
    )
    array = np.random.default_rng(seed).standard_normal((count, samples // 640, 32)).astype(np.float16)
    return CachedFeatures(items, (array,), (0,) * count)


def images(length=60, seed=3, **options):
    return ImageDataset(pictures(), image_grammar.load_grammar(), length, seed, **options)


def sounds(length=60, seed=3, **options):
    sources = [(clips(10, 160_000), 0.4), (clips(6, 80_000, 1), 0.6)]
    return AudioDataset(sources, audio_grammar.load_grammar(), length, 4, seed, **options)


@pytest.mark.parametrize("make", [images, sounds])
def test_a_sample_depends_on_its_number_alone(make):
    one, other = make(), make()
    numbers = list(range(60))
    forward = [(one[n].caption, one[n].mode, one[n].item, one[n].features) for n in numbers]
    random.Random(0).shuffle(numbers)
    for n in numbers:
        again = other[n]
        assert (again.caption, again.mode, again.item) == forward[n][:3] and torch.equal(again.features, forward[n][3])
    assert {mode for _, mode, _, _ in forward} == set(one.modes)
    another = make(seed=4)
    assert [another[n].caption for n in range(60)] != [caption for caption, *_ in forward]
    with pytest.raises(IndexError):
        one[60]


@pytest.mark.parametrize("make", [images, sounds])
@pytest.mark.parametrize(("shares", "expected"), [(None, (1 / 3, 1 / 3, 1 / 3)), ((0.6, 0.3, 0.1), (0.6, 0.3, 0.1))])
def test_annotators_caption_as_often_as_their_shares(make, shares, expected):
    samples = make(600, mode_shares=shares)
    counts = Counter(samples[number].mode for number in range(600))
    for mode, share in zip(samples.modes, expected, strict=True):
        assert counts[mode] / 600 == pytest.approx(share, abs=0.08)


def test_every_picture_comes_once_a_lap():
    samples = images(60)
    order = [samples.shuffled(number, 6) for number in range(60)]
    assert all(sorted(order[lap : lap + 6]) == list(range(6)) for lap in range(0, 60, 6))
    assert order[:6] != order[6:12]


def test_batches_hold_clips_of_one_length_and_every_clip_has_its_turn():
    long, short = clips(10, 160_000), clips(6, 80_000, 1)
    samples = AudioDataset([(long, 0.5), (short, 0.5)], audio_grammar.load_grammar(), 400, 4, 0)
    found = {160_000: [], 80_000: []}
    for start in range(0, 400, 4):
        block = [samples[number] for number in range(start, start + 4)]
        assert len({sample.item.size for sample in block}) == 1
        found[block[0].item.size] += [sample.item for sample in block]
    for source in (long, short):
        of_source = found[source.items[0].size]
        assert len(of_source) > 40
        for lap in range(len(of_source) // len(source)):
            assert set(map(id, of_source[lap * len(source) : (lap + 1) * len(source)])) == set(map(id, source.items))


def test_shares_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="sum to 1"):
        AudioDataset([(clips(2, 80_000), 0.4)], audio_grammar.load_grammar(), 8, 4, 0)
    with pytest.raises(ValueError, match="simulated_share needs"):
        images(simulated_share=0.5)
    with pytest.raises(ValueError, match="photograph_share needs"):
        images(photograph_share=0.5)


@pytest.mark.parametrize("name", DOMAINS)
def test_missing_features_are_an_error_with_the_command_to_run(name, tmp_path):
    message = rf"run `python -m training\.embedded\.features {name} --split train` first"
    with pytest.raises(FileNotFoundError, match=message):
        CachedFeatures.open(in_folder(name, tmp_path), "train")


@pytest.fixture(scope="module")
def audio_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("untrained")
    build_tiny("audio", folder)
    return DOMAINS["audio"].architecture.model_class.load(folder)


def test_all_annotators_caption_a_clip_that_is_encoded_once(audio_model):
    sources = [(clips(6, 80_000), 1.0)]
    one, all_three = (
        AudioDataset(sources, audio_grammar.load_grammar(), 8, 4, 0, all_modes=every) for every in (False, True)
    )
    samples = [all_three[number] for number in range(4)]
    assert [sample.caption for sample in samples] == [one[number].caption for number in range(4)]
    for sample in samples:
        rest = {load_parser().parse(text).mode for text in sample.others}
        assert {sample.mode, *rest} == set(audio_grammar.MODES) and len(rest) == 2
    model = audio_model.model
    encode = partial(encode_prompts, DOMAINS["audio"])
    collate, learner = SampleCollator(audio_model), BaseModule(model, model.model.audio_tower, encode, 0).eval()
    loss = learner(**collate(samples))
    separate = [
        learner(**collate([replace(one, caption=text, others=()) for one, text in zip(samples, texts, strict=True)]))
        for texts in zip(*((sample.caption, *sample.others) for sample in samples), strict=True)
    ]
    assert loss.item() == pytest.approx(torch.stack(separate).mean().item(), abs=1e-5) and len(separate) == 3
    loss.backward()
    shared = {name: weight.grad.clone() for name, weight in learner.trainable_parameters()}
    assert not any("audio_tower" in name for name in shared)
    learner.zero_grad()
    torch.stack(separate).mean().backward()
    assert all(torch.allclose(weight.grad, shared[name], atol=1e-6) for name, weight in learner.trainable_parameters())


@torch.no_grad()
def test_cached_features_give_the_stock_models_loss(audio_model):
    domain, rng = DOMAINS["audio"], np.random.default_rng(0)
    waves = [(0.1 * rng.standard_normal(80_000)).astype(np.float32) for _ in range(2)]
    features = [torch.from_numpy(one.astype(np.float32)) for one in domain.rendering.encode(audio_model, waves, True)]
    texts = ["A dog barks.", "Un chien aboie."]
    item = ClipItem(Scene(None, (Event("dog"),)), 80_000)
    batch = SampleCollator(audio_model)([Sample(f, item, t, "") for f, t in zip(features, texts, strict=True)])
    nll = caption_nll(audio_model.model, encode_prompts(domain, audio_model.model, batch), batch["captions"])
    for row, (wave, text) in enumerate(zip(waves, texts, strict=True)):
        inputs = audio_model.inputs(wave, PROMPT)
        caption = torch.tensor(
            [[*audio_model.tokenizer(text, add_special_tokens=False)["input_ids"], *audio_model.eos_token_ids]]
        )
        ids = torch.cat([inputs["input_ids"], caption], dim=1)
        loss = audio_model.model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            input_features=inputs["input_features"],
            feature_attention_mask=inputs["feature_attention_mask"],
            labels=torch.cat([torch.full_like(inputs["input_ids"], -100), caption], dim=1),
        ).loss
        assert nll[row].item() == pytest.approx(loss.item(), abs=2e-3)


def test_a_share_of_the_features_is_hidden_in_training_only():
    torch.manual_seed(0)
    batch = {"features": [torch.ones(40, 50), torch.ones(20, 50)], "captions": torch.ones(2, 3)}
    hidden = with_dropout(batch, 0.2, training=True)
    assert hidden["captions"] is batch["captions"]
    for one in hidden["features"]:
        assert set(one.unique().tolist()) == {0.0, 1.25}, "what is left is scaled up"
        assert 0.15 < (one == 0).float().mean() < 0.25
    shown = with_dropout(batch, 0.2, training=False)["features"]
    assert all(torch.equal(one, two) for one, two in zip(shown, batch["features"], strict=True))
