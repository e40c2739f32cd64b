"""Several starts of all systems on a tiny embedded model: hypotheses, a single adapter, experts with a router."""

import json
import shutil
from dataclasses import dataclass, replace

import pytest
import torch

from tests.support.embedded import build_tiny, in_folder
from training.embedded import features
from training.embedded.common.domain import load_domain
from training.embedded.common.reports import ScoredCaption
from training.embedded.common.weight_files import committed_base
from training.experiments.lora_moe import ExpertLinear
from training.experiments.systems import starts

STEPS, SCENES = 2, 3


@pytest.fixture(scope="module")
def domain(tmp_path_factory):
    made = in_folder("audio", tmp_path_factory.mktemp("starts"))
    made.work.mkdir(parents=True)
    build_tiny("audio", made.untrained_dir)
    shutil.copytree(made.untrained_dir, made.model_dir)
    for split in ("train", "train-short", "augmented", "augmented-short", "test"):
        features.write_shard(made, split, 0, 4)
    return made


@pytest.fixture(autouse=True)
def kept(monkeypatch, tmp_path):
    monkeypatch.setattr(starts, "KEPT", tmp_path / "kept")
    return tmp_path / "kept"


@pytest.mark.slow
def test_from_a_start_to_the_results_file(domain, kept, tmp_path, monkeypatch):
    monkeypatch.setattr(starts, "load_domain", lambda name: domain)
    out = tmp_path / "starts.json"
    words = ["audio", "--steps", str(STEPS), "--scenes", str(SCENES), "--out", str(out)]
    starts.main([*words, "--seeds", "2", "--only", "caption-gate-3", "moe-3", "bilingual-mle"])
    results = json.loads(out.read_text(encoding="utf-8"))
    found = {(one["system"], one["seed"]): one for one in results["runs"]}
    assert list(found) == [(name, seed) for name in ("caption-gate-3", "moe-3", "bilingual-mle") for seed in (0, 1)]
    gate, other = found["caption-gate-3", 0], found["caption-gate-3", 1]
    experts, bilingual = found["moe-3", 0], found["bilingual-mle", 0]
    assert bilingual["modes"] == ["en-events", "fr-events"] and len(bilingual["captions"]["beam"]["modes"]) == 2
    assert len(bilingual["captions"]["beam"]["modes"][0]["share"]) == 2, "two beams against two hypotheses"
    assert set(gate["captions"]) == {"hypotheses"} and set(experts["captions"]) == {"beam", "diverse-beam"}
    assert (results["base"], results["scenes"]) == (committed_base(domain), SCENES)
    assert gate["steps"] == STEPS and experts["experts"] == 3
    assert gate["likelihood"] != other["likelihood"], "another seed, other weights"
    assert gate["likelihood"]["best"] <= gate["likelihood"]["mixture"] <= gate["likelihood"]["mean"] + 1e-3
    assert experts["likelihood"]["best"] == experts["likelihood"]["mixture"]
    assert sum(gate["likelihood"]["wins"]) == pytest.approx(1, abs=1e-3)
    # What is kept is not trained again, and gives the same figures when it is measured again.
    for file in kept.rglob("measures-*.json"):
        file.unlink()
    monkeypatch.setattr(starts.program.RunTrainer, "train_or_resume", None)
    starts.main([*words, "--seeds", "1", "--only", "moe-3"])
    assert json.loads(out.read_text(encoding="utf-8")) == results, "the others stay"


@pytest.mark.parametrize(
    ("other", "message"), [({"scenes": 5}, "has scenes 5, not 6"), ({"base": "base-9"}, "has base base-9, not base")]
)
def test_results_of_other_scenes_or_bases_are_not_mixed(other, message, tmp_path, capsys):
    out = tmp_path / "starts.json"
    starts.write([], {"base": committed_base(load_domain("image")), "scenes": 6} | other, out)
    before = out.read_bytes()
    with pytest.raises(SystemExit):
        starts.main(["image", "--scenes", "6", "--out", str(out)])
    assert message in capsys.readouterr().err and out.read_bytes() == before


def test_systems_differ_in_what_their_names_say(domain, tmp_path):
    def config(name):
        return starts.configured(domain, starts.ALL[name], 5, tmp_path, None)

    names = ("caption-gate-3", "relaxed-3", "mle-wide", "relaxed-6", "bilingual-mle")
    gate, relaxed, wide, six, bilingual = map(config, names)
    assert gate.data.mode_shares == (1.0, 1.0, 1.0) and bilingual.data.mode_shares == (1.0, 0.0, 1.0)
    assert gate.training.seed == 5 and gate.model.base == str(domain.model_dir)
    assert (gate.objective.name, gate.adapters.hypotheses, gate.adapters.rank) == ("caption-gate", 3, 8)
    assert (relaxed.objective.name, relaxed.objective.epsilon) == ("relaxed", 0.1)
    assert (wide.adapters.hypotheses, wide.adapters.rank, wide.adapters.alpha) == (1, 24, 48.0)
    assert six.adapters.hypotheses == 6
    assert replace(relaxed, objective=gate.objective) == gate


def test_experts_are_in_every_layer(domain, tmp_path):
    config = starts.configured(domain, starts.ALL["moe-3"], 0, tmp_path, 1)
    config = replace(config, data=replace(config.data, workers=0))
    _, stack = starts.trained(config, 3)
    assert all(isinstance(layer, ExpertLinear) and layer.experts == 3 for layer in stack.layers.values())
    assert any(layer.router.weight.grad is not None or layer.router.weight.std() > 0 for layer in stack.layers.values())


def test_figures_of_two_hypotheses_by_hand():
    nll = torch.tensor([[[1.0, 3.0]], [[2.0, 1.0]]])
    found = starts.likelihood_figures(nll, torch.tensor([[1, 2]]))
    assert (found["best"], found["mean"]) == (1.0, 1.75)
    first = -torch.tensor([-1.0, -2.0]).logsumexp(0) + torch.tensor(2.0).log()
    second = (-torch.tensor([-6.0, -2.0]).logsumexp(0) + torch.tensor(2.0).log()) / 2
    assert found["mixture"] == pytest.approx(float(first + second) / 2, abs=1e-4)
    assert found["wins"] == [0.5, 0.5] and found["used"] == 2 and found["mode_matrix"] == [[2.0], [1.5]]


def judged(mode, recall):
    return ScoredCaption("", mode, Counts(recall, 1.0))


@dataclass(frozen=True)
class Counts:
    recall: float
    precision: float


def test_figures_of_a_mode_by_hand():
    rows = [[judged("fr", 1.0), judged("en", 0.0)], [judged(None, 0.0), judged("fr", 0.5)]]
    found = starts.mode_figures(rows, "fr")
    assert found == {"share": [0.5, 0.5], "media": 1.0, "recall": 0.75, "precision": 1.0}
    assert starts.mode_figures(rows, "de")["recall"] is None


def test_without_features_the_command_that_makes_them_is_named(tmp_path, monkeypatch, capsys):
    empty = in_folder("audio", tmp_path)
    build_tiny("audio", empty.model_dir)
    monkeypatch.setattr(starts, "load_domain", lambda name: empty)
    with pytest.raises(SystemExit):
        starts.main(["audio", "--only", "mle", "--out", str(tmp_path / "starts.json")])
    assert "no cached features: run `python -m training.embedded.features audio" in capsys.readouterr().err
    assert not (tmp_path / "starts.json").exists(), "no results file without results"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--scenes", "-2"], "--scenes must be at least 1"),
        (["--only", "moe"], "no system moe; there are: caption-gate-3"),
    ],
)
def test_what_cannot_be_run_is_refused(words, message, capsys):
    with pytest.raises(SystemExit):
        starts.main(["audio", *words])
    assert message in capsys.readouterr().err
