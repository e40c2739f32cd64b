"""Reading captions by people with the parser of generated ones, and the NLL of a base."""

import json
import shutil

import pytest

from tests.support.embedded import build_tiny, in_folder
from training.embedded import features
from training.embedded.audio import trials
from training.embedded.common.dataset import CachedFeatures


def test_captions_are_read_word_by_word():
    found = trials.read_by_parser(
        [
            "A dog barks",
            "A dog barking and a cat meowing loudly",
            "A dog barks near the old harbour",
            "Rain falls onto a tin roof",
            "A speech about the economy",
        ]
    )
    assert found == {"captions": 5, "name_a_sound": 4, "say_nothing_else": 2, "sounds": 2}


def test_the_words_that_the_parser_knows():
    parser = trials.load_parser()
    assert parser.covered("A dog barks near Rome") == [False, True, True, False, False]
    assert parser.covered("") == []


@pytest.mark.slow
def test_a_bases_nll_is_the_mean_over_clips_and_annotators(tmp_path, monkeypatch):
    domain = in_folder("audio", tmp_path)
    domain.work.mkdir(parents=True)
    build_tiny("audio", domain.untrained_dir)
    features.write_shard(domain, "test", 0, 3)
    shutil.copytree(domain.untrained_dir, domain.base_round_dir(1))
    cached = CachedFeatures.open(domain, "test")
    model = domain.architecture.model_class.load(domain.untrained_dir)
    found = trials.base_nll(model, cached)
    monkeypatch.setattr(trials, "BATCH", 2)
    assert trials.base_nll(model, cached) == pytest.approx(found, abs=2e-4), "by any batches"
    modes = domain.annotators.modes
    assert found["mean"] == pytest.approx(sum(found[mode] for mode in modes) / len(modes), abs=1e-4)
    # An untrained model of 600 tokens has nearly log 600 nats.
    assert 5.5 < found["mean"] < 7.5
    # What was measured by other means, and bases that are no longer there, stay in the file.
    monkeypatch.setattr(trials, "TRIALS", tmp_path / "trials.json")
    monkeypatch.setattr(trials, "BASES", {"base": domain.base_round_dir(1), "base-2": tmp_path / "none"})
    monkeypatch.setattr(trials, "audiocaps", lambda: ["A dog barks"])
    monkeypatch.setattr(trials, "CachedFeatures", type("Opened", (), {"open": staticmethod(lambda *_: cached)}))
    kept = {"soundnet": {"clips": 1}, "rounds": {"base-2": {"mean": 1.0}}}
    trials.TRIALS.write_text(json.dumps(kept))
    trials.main()
    results = json.loads(trials.TRIALS.read_text())
    assert results["soundnet"] == kept["soundnet"] and results["rounds"]["base-2"] == {"mean": 1.0}
    assert results["rounds"]["base"] == pytest.approx(found, abs=2e-4)
    assert results["audiocaps"]["say_nothing_else"] == 1
