"""The embedded models' runs by the training program: their configurations, and annotators of unequal frequency."""

import re
from pathlib import Path

import pytest

from lora_mcl.adapters import LANGUAGE_MODEL_LINEARS
from lora_mcl.errors import OptionsError
from lora_mcl.models import LANGUAGE_MODELS, ImageLanguageModel
from tests.support.paths import ROOT
from training.data import DataError, DataOptions
from training.embedded.common.comparison import HYPOTHESES, RUNS
from training.embedded.data_source import SceneSource
from training.experiments.ablations.image import configured
from training.experiments.ablations.variants import ALL, CLEAN, Variant
from training.run.config import load_config
from training.run.options import TrainConfig
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
    assert (
        f"{tmp_path}: no cached features: run `python -m training.embedded.features {modality}"
        in capsys.readouterr().err
    )


def test_scenes_have_no_epochs_and_one_share_per_annotator(tmp_path):
    config = load_config(TrainConfig, EMBEDDED / "image" / "mle.yaml", ["training.epochs=1", "training.steps=null"])
    with pytest.raises(OptionsError, match=r"data of kind scenes have no end: give training\.steps"):
        steps_of(config, None, 4)
    media = ImageLanguageModel.load(ROOT / "assets" / "models" / "image")
    options = DataOptions("scenes", str(tmp_path), mode_shares=(0.5, 0.5))
    with pytest.raises(DataError, match="mode_shares: give one for each of en-objects, en-place, fr-place; got 2"):
        SceneSource(media).samples(options, 4, 2, 0)


def test_an_experiment_changes_what_its_variant_names(tmp_path):
    gate = config_of("image", "caption-gate")
    variant = Variant("x", gate.objective, 4, step=CLEAN, dropout=0.1, balance="estimated", shares=(0.6, 0.3, 0.1))
    config = configured(variant, tmp_path, 7, 20)
    assert (config.adapters.hypotheses, config.adapters.dropout, config.step) == (4, 0.1, CLEAN)
    assert (config.gate.balance, config.gate.start, config.data.mode_shares) == ("estimated", "random", (0.6, 0.3, 0.1))
    assert (config.training.steps, config.training.seed, config.output) == (20, 7, tmp_path)
    assert config.data.path == gate.data.path and config.adapters.rank == gate.adapters.rank
