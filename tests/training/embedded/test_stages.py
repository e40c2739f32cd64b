"""Every stage of both models once, on the committed packs: what the commands do, cut to a few scenes and steps."""

import importlib.util
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from lora_mcl.bundle import load_bundle
from lora_mcl.models import ImageTower, ImageTowerConfig
from tests.support.embedded import DOMAINS, TINY, build_tiny, in_folder
from tests.support.paths import ROOT
from training.embedded import align, bundle, card, evaluate, features, train_base
from training.embedded.build_base import build_base
from training.embedded.common.comparison import RUNS, load_stack
from training.embedded.common.dataset import CachedFeatures
from training.embedded.common.domain import StageSettings, base_round_name, sample_captions
from training.embedded.common.shards import DIGEST, FEATURES
from training.embedded.common.tables import filled
from training.embedded.common.weight_files import TOWER_FILE, TRAINED_FILE
from training.train import main as train

CONFIGS = ROOT / "training" / "configs" / "embedded"
SETTINGS = StageSettings(steps=2, batch_size=2, learning_rate=1e-3, feature_dropout=0.3)


@pytest.mark.slow
def test_every_stage_runs_and_goes_on_where_it_stopped(tmp_path):
    domain = in_folder("audio", tmp_path)
    domain.work.mkdir(parents=True)
    build_tiny("audio", domain.untrained_dir)
    counts = {"train": 6, "train-short": 6, "augmented": 6, "augmented-short": 6, "test": 4, "seen": 4}
    for split, count in counts.items():
        folder = features.write_shard(domain, split, 0, count)
        stamp = (folder / FEATURES).stat().st_mtime_ns
        assert features.write_shard(domain, split, 0, count) == folder
        assert (folder / FEATURES).stat().st_mtime_ns == stamp
        digest = folder / DIGEST
        digest.write_text((made_with := digest.read_text()) + "0")
        with pytest.raises(ValueError, match=rf"another precision.csv: delete .*{split} .*audio --split {split}`"):
            CachedFeatures.open(domain, split)
        digest.write_text(made_with)
        cached = CachedFeatures.open(domain, split)
        assert len(cached) == count
        assert cached.features(0).shape == (1, 125 if split.endswith("-short") else 250, 32)
    align.train(domain, SETTINGS)
    for number in (1, 2):
        train_base.train(domain, SETTINGS, number=number)
    for name in [*RUNS, "mle"]:  # a finished run is not run again: it resumes from its last checkpoint, its end
        words = [f"output={domain.adapters_dir}/{name}", f"model.base={domain.base_dir}"]
        words += [f"data.path={domain.features_dir}", "data.workers=0"]
        words += ["training.steps=2", "training.batch_size=2", "training.log_every=1"]
        assert train([str(CONFIGS / "audio" / f"{name}.yaml"), *words]) == 0
    model = domain.architecture.model_class.load(domain.base_dir)
    stack = load_stack(model, domain.adapters_dir)
    results = {split: evaluate.evaluate(domain, model, stack, split, 2, 4) for split in ("test", "seen")}
    results["training"] = evaluate.training_summaries(domain)
    assert results["test"]["clips"] == 4 and results["test"]["captioned"] == 2
    bundle.write_bundle(domain, results)
    made = load_bundle(domain.bundle_dir)
    main = results["test"]["likelihood"]["caption-gate"]["stability"]["main"]
    assert made.modality == "audio" and made.baseline is not None and made.gate == "gate"
    assert made.hypotheses == bundle.hypothesis_refs(domain, main)
    assert {path.name for path in domain.model_dir.glob("*.safetensors")} == {TOWER_FILE, TRAINED_FILE}
    assert not (domain.model_dir / "training.json").exists()
    passages = card.passages(replace(domain, assets=ROOT / "assets"), results)
    for file in card.cards(DOMAINS["audio"]):
        text = file.read_text(encoding="utf-8")
        assert set(re.findall(r"<!-- (audio_\w+) -->", text)) <= set(passages)
        assert filled(filled(text, passages), passages) == filled(text, passages)
    assert "On 2 test clips" in passages["audio_headline"]


@pytest.mark.slow
def test_pictures_of_the_committed_pack_train_to_a_bundle(tmp_path, monkeypatch):
    domain = in_folder("image", tmp_path)
    domain.work.mkdir(parents=True)
    # Simulated photographs need the tower's true classes; its weights may be random.
    tower = ImageTower(ImageTowerConfig())
    build_base(domain, domain.untrained_dir, sample_captions(domain, 150, 0), TINY, tower=tower)
    for split in ("train", "empty", "photographs"):
        features.write_shard(domain, split, 0, 4)
    align.train(domain, SETTINGS)
    train_base.train(domain, SETTINGS)
    for number in range(2, len(domain.training.base_rounds) + 1):
        train_base.train(domain, SETTINGS, number=number)
    monkeypatch.chdir(ROOT)
    words = [f"model.base={domain.base_dir}", f"data.path={domain.features_dir}", f"output={tmp_path / 'run'}"]
    words += ["data.workers=0", "training.steps=2", "training.batch_size=2", "training.log_every=1"]
    assert train([str(CONFIGS / "image" / "caption-gate.yaml"), *words]) == 0
    made = load_bundle(tmp_path / "run" / "bundle")
    assert len(made.hypotheses) == 3 and made.gate == "gate"


@pytest.mark.parametrize("name", DOMAINS)
def test_every_documented_command_is_there(name):
    text = (ROOT / "training" / "embedded" / name / "README.md").read_text(encoding="utf-8")
    commands = re.findall(
        r"(?:^|`)python -m (training\.embedded[.\w]+)( \w+)?((?: --?[\w-]+(?: [\w-]+)?)*)", text, re.M
    )
    stages = {path.stem for path in (ROOT / "training" / "embedded").glob("*.py")} - {"__init__", "data_source"}
    assert {module.split(".")[2] for module, *_ in commands if module.count(".") == 2} == stages
    for module, domain, options in commands:
        source = Path(importlib.util.find_spec(module).origin).read_text(encoding="utf-8")
        assert domain == (f" {name}" if module.count(".") == 2 else "")
        for flag in re.findall(r"--[\w-]+", options):
            assert f'"{flag}"' in source, f"{module} has no {flag}"
    for file in re.findall(r"^\| .*?\|", text, re.M):
        for path in re.findall(r"`([\w/]+\.(?:py|csv))`", file):
            assert (ROOT / "training" / "embedded" / name / path).is_file(), path


@pytest.mark.parametrize("name", DOMAINS)
def test_hypotheses_are_named_after_what_they_win(name):
    domain = DOMAINS[name]
    labels = [domain.annotators.labels[mode][0] for mode in domain.annotators.modes]
    assert [ref.label for ref in bundle.hypothesis_refs(domain, [2, 0, 1])] == [labels[1], labels[2], labels[0]]
    assert [ref.label for ref in bundle.hypothesis_refs(domain, [1, 1, 0])][2] == "Hypothesis 3"


def test_results_hold_every_stages_settings():
    for domain in DOMAINS.values():
        recorded = json.loads(domain.results_file.read_text(encoding="utf-8"))["training"]
        rounds = [base_round_name(number) for number in range(1, len(domain.training.base_rounds) + 1)]
        assert set(recorded) == {"align", *rounds, *RUNS}
