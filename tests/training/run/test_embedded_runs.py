"""The embedded models' runs by the training program: their configurations, and annotators of unequal frequency."""

import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lora_mcl.adapters import LANGUAGE_MODEL_LINEARS
from lora_mcl.bundle import load_bundle
from lora_mcl.errors import OptionsError
from lora_mcl.models import LANGUAGE_MODELS, ImageLanguageModel
from tests.support.paths import ROOT
from training.data import DataError, DataOptions
from training.embedded.common.comparison import HYPOTHESES, RUNS
from training.embedded.image import features
from training.embedded.image.captions.grammar import Grammar
from training.embedded.image.features import Item
from training.embedded.image.material.assets import PACK_DIR, Material
from training.embedded.image.visits import CachedPictures, CaptionVisits
from training.embedded.image.world.lexicon import load_lexicon
from training.embedded.image.world.places import load_places
from training.embedded.image.world.sampler import sample_scene
from training.experiments.ablations.image import configured
from training.experiments.ablations.variants import ALL, CLEAN, Arm
from training.run.config import load_config
from training.run.options import TrainConfig
from training.run.scenes import scene_visits
from training.train import main as train
from training.train import steps_of

EMBEDDED = ROOT / "training" / "configs" / "embedded"


def config_of(modality, run):
    return load_config(TrainConfig, EMBEDDED / modality / f"{run}.yaml")


@pytest.mark.parametrize("modality", LANGUAGE_MODELS)
def test_the_runs_of_a_model_differ_in_hypotheses_and_assignment_alone(modality):
    configs = {run: config_of(modality, run) for run in RUNS}
    gate = configs["caption-gate"]
    assert gate.adapters.hypotheses == HYPOTHESES and gate.objective.name == "caption-gate"
    for run, config in configs.items():
        assert (config.model, config.data, config.training, config.step) == (gate.model, gate.data, gate.training, ALL)
        assert config.output == Path("build") / modality / "adapters" / run
        assert config.adapters.alpha == 2 * config.adapters.rank
    weights = {run: config.adapters.hypotheses * config.adapters.rank for run, config in configs.items()}
    assert weights == {"caption-gate": 24, "relaxed": 24, "mle": 8, "mle-wide": 24}


@pytest.mark.parametrize("modality", LANGUAGE_MODELS)
def test_their_adapters_are_on_the_language_model(modality):
    targets = config_of(modality, "mle").adapters.specs()[0].target_modules
    media = LANGUAGE_MODELS[modality].load(ROOT / "assets" / "models" / modality)
    stack_targets = LANGUAGE_MODEL_LINEARS if modality == "image" else rf"{LANGUAGE_MODEL_LINEARS}|(?:.+\.)?lm_head"
    ours, expected = (
        {name for name, _ in media.model.named_modules() if re.fullmatch(pattern, name)}
        for pattern in (targets, stack_targets)
    )
    assert ours == expected and len(ours) == 7 * 4 + (modality == "audio")


@pytest.mark.parametrize("modality", LANGUAGE_MODELS)
def test_scenes_that_are_not_there_fail_before_training(modality, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = [f"model.base=assets/models/{modality}", f"data.path={tmp_path}", f"output={tmp_path / 'run'}"]
    assert train([str(EMBEDDED / modality / "mle.yaml"), *words]) == 2
    assert f"{tmp_path}: no cached features: run `python -m training.{modality}.features" in capsys.readouterr().err


@pytest.mark.slow
def test_pictures_of_the_committed_pack_train_to_a_bundle(tmp_path, monkeypatch):
    """Without the packages that only training fetches; the audio model's runs are in test_audio_base."""
    monkeypatch.setattr(features, "BUILD_DIR", tmp_path)  # no full build
    monkeypatch.setattr(features, "CACHE_DIR", tmp_path / "features")
    monkeypatch.setattr(features, "UNTRAINED_DIR", ROOT / "assets" / "models" / "image")
    monkeypatch.setattr(features, "load_material", lambda split: Material(split, PACK_DIR))
    for split in ("train", "empty", "photographs"):
        features.write_shard(split, 0, 4)
    monkeypatch.chdir(ROOT)
    words = ["model.base=assets/models/image", f"data.path={tmp_path / 'features'}", f"output={tmp_path / 'run'}"]
    words += ["data.workers=0", "training.steps=2", "training.batch_size=2", "training.log_every=1"]
    assert train([str(EMBEDDED / "image" / "caption-gate.yaml"), *words]) == 0
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert len(bundle.hypotheses) == HYPOTHESES and bundle.gate == "gate"


def test_scenes_have_no_epochs_and_one_share_per_annotator(tmp_path):
    config = load_config(TrainConfig, EMBEDDED / "image" / "mle.yaml", ["training.epochs=1", "training.steps=null"])
    with pytest.raises(OptionsError, match=r"data of kind scenes have no end: give training\.steps"):
        steps_of(config, None, 4)
    media = ImageLanguageModel.load(ROOT / "assets" / "models" / "image")
    options = DataOptions("scenes", str(tmp_path), mode_shares=(0.5, 0.5))
    with pytest.raises(DataError, match="mode_shares: give one for each of en-objects, en-place, fr-place; got 2"):
        scene_visits(options, media, 4, 2, 0)


def test_an_experiment_changes_what_its_arm_says(tmp_path):
    gate = config_of("image", "caption-gate")
    arm = Arm("x", gate.objective, 4, step=CLEAN, dropout=0.1, balance="estimated", shares=(0.6, 0.3, 0.1))
    config = configured(arm, tmp_path, 7, 20)
    assert (config.adapters.hypotheses, config.adapters.dropout, config.step) == (4, 0.1, CLEAN)
    assert (config.gate.balance, config.gate.start, config.data.mode_shares) == ("estimated", "random", (0.6, 0.3, 0.1))
    assert (config.training.steps, config.training.seed, config.output) == (20, 7, tmp_path)
    assert config.data.path == gate.data.path and config.adapters.rank == gate.adapters.rank


@pytest.mark.parametrize(("shares", "expected"), [(None, (1 / 3, 1 / 3, 1 / 3)), ((0.6, 0.3, 0.1), (0.6, 0.3, 0.1))])
def test_annotators_caption_as_often_as_asked(shares, expected):
    rng = random.Random(0)
    items = tuple(Item(sample_scene(rng, ["cat", "bus", "apple"], ["beach", "street"]), (320, 320), (0,)) for _ in "ab")
    pictures = CachedPictures(items, (np.zeros((1, 16, 160), np.float32),), (0, 0))
    visits = CaptionVisits(pictures, Grammar(load_lexicon(), load_places()), 600, 3, mode_shares=shares)
    counts = Counter(visits[number].mode for number in range(600))
    for mode, share in zip(("en-objects", "en-place", "fr-place"), expected, strict=True):
        assert counts[mode] / 600 == pytest.approx(share, abs=0.08)
