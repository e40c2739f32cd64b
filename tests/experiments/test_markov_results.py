"""The committed Markov results: they reach the theory's bounds, and the document agrees with them."""

from dataclasses import asdict
from statistics import fmean

import pytest
import torch

from lora_mcl.markov import MarkovMixture, theory_of, visible_nll
from lora_mcl.markov.model import build_model, log_odds_limit
from tests.support.paths import ROOT
from training.embedded.common.tables import filled
from training.experiments.markov.card import (
    CARD,
    RANDOM,
    SETUPS,
    load,
    passages,
)
from training.experiments.markov.setups import PAPER_SETUPS, RECIPES, random_setup
from ui.markov_runs import load_demos

LOSS = {"transition1": 0.507, "transition2": 0.553}
BEST_ONE = {"transition1": 0.536, "transition2": 0.587}


def mixture_of(result):
    matrices = tuple(tuple(tuple(row) for row in matrix) for matrix in result["setup"]["matrices"])
    return MarkovMixture(result["setup"]["name"], matrices)


@pytest.mark.parametrize("name", SETUPS)
def test_the_papers_set_ups_reach_their_targets(name):
    result = load(name)
    mixture = result["setup"]["name"]
    one, two = result["summary"]["1"], result["summary"]["2"]
    assert mixture_of(result) == PAPER_SETUPS[mixture].mixture
    assert {run["seed"] for run in result["runs"]} == {1235, 1236, 1237} and one["seeds"] == two["seeds"] == 3
    assert two["loss"]["mean"] == pytest.approx(LOSS[mixture], abs=0.01)
    assert two["every_chain_has_a_hypothesis"] == 3
    # One model: no better than what it sees allows, nearly as good, and worse than two hypotheses.
    assert BEST_ONE[mixture] - 0.002 < one["loss"]["mean"] < BEST_ONE[mixture] + 0.015
    assert one["loss"]["mean"] > two["loss"]["mean"] + 0.02


@pytest.mark.parametrize("name", PAPER_SETUPS)
def test_the_default_recipe_reaches_every_target(name):
    """One recipe for both set-ups; every figure is recomputed from the runs of the three seeds."""
    result = load(name)
    ones, twos = ([run["test"] for run in result["runs"] if run["hypotheses"] == k] for k in (1, 2))
    assert result["recipe"]["name"] == PAPER_SETUPS[name].recipe == "tuned" and len(ones) == len(twos) == 3
    loss_of_one, loss_of_two = (fmean(test["loss"] for test in tests) for tests in (ones, twos))
    assert loss_of_two == pytest.approx(LOSS[name], abs=0.01)
    assert BEST_ONE[name] - 0.002 < loss_of_one < BEST_ONE[name] + 0.01
    assert min(test["loss"] for test in ones) > max(test["loss"] for test in twos) + 0.02
    assert fmean(test["accuracy"] for test in twos) >= 0.99
    for read_out in ("first_position", "later_positions") if name == "transition1" else ():
        # Hypotheses in the order of their chains; each entry's mean over seeds.
        matrices = [[test[read_out][row.index(max(row))] for row in test["wins"]] for test in twos]
        recovered = torch.tensor(matrices, dtype=torch.float64)
        assert (recovered - PAPER_SETUPS[name].mixture.tensor()).abs().mean(0).max() < 0.05


def test_the_papers_recipe_is_the_papers():
    for name in PAPER_SETUPS:
        recipe = load(f"{name}-paper")["recipe"]
        assert recipe["name"] == "paper" and recipe["learning"]["learning_rate"] == 1e-4
        assert (recipe["learning"]["steps"], recipe["learning"]["batch_size"]) == (501, 128)
        assert recipe["model"]["initializer_range"] == RECIPES["paper"].model.initializer_range == 0.02


@pytest.mark.parametrize("name", [*SETUPS, RANDOM])
def test_the_files_were_made_by_the_recipes_as_they_are(name):
    made = load(name)["recipe"]
    recipe = RECIPES[made["name"]]
    assert made["name"] == ("quick" if name == RANDOM else "paper" if name.endswith("-paper") else "tuned")
    assert made["model"] == asdict(recipe.model)
    learning = made["learning"]
    assert (learning["learning_rate"], learning["steps"]) == (recipe.learning_rate, recipe.steps)


def test_the_papers_weights_cannot_express_transition1():
    """Its largest probability is 0.9; what the frozen output layer allows is as theory has it for each seed."""
    models = [RECIPES[name].model for name in ("paper", "tuned")]
    for seed in (1235, 1236, 1237):
        reach = [float(log_odds_limit(build_model(2, 1, model, seed).model)[0, 1].sigmoid()) for model in models]
        assert reach[0] < 0.88 and reach[1] > 0.95


@pytest.mark.parametrize("name", SETUPS)
def test_the_file_holds_the_theory(name):
    result = load(name)
    known, theory = result["theory"], theory_of(mixture_of(result), 32)
    assert known["mixture_nll"] == pytest.approx(theory.mixture_nll, abs=5e-5)
    assert known["lower_bound"]["2"] == pytest.approx(theory.lower_bound(2), abs=5e-5)
    assert known["best_visible_nll"] == pytest.approx(visible_nll(mixture_of(result), 32, 9), abs=5e-5)


def test_more_hypotheses_do_not_hurt():
    result = load(RANDOM)
    assert mixture_of(result) == random_setup(4, 3, 0).mixture
    losses = {int(k): figures["loss"]["mean"] for k, figures in result["summary"].items()}
    assert sorted(losses) == [1, 2, 3, 4, 5]
    assert losses[1] > losses[2] > losses[3]
    for k, loss in losses.items():
        assert loss > result["theory"]["lower_bound"][str(k)]


def test_a_gate_needs_the_right_feature():
    variants = load("gate")["results"]["same-tokens"]
    assert variants["gate on tokens"]["gate_accuracy"]["mean"] < 0.6
    assert variants["gate on transitions"]["gate_accuracy"]["mean"] > 0.99
    assert variants["gate on transitions"]["loss"]["mean"] < variants["gate on tokens"]["loss"]["mean"]


def test_the_document_agrees_with_the_results():
    text = CARD.read_text(encoding="utf-8")
    assert text.count("<!-- /") == len(passages())
    assert filled(text, passages()) == text, "run `python -m training.experiments.markov.card`"


def test_the_page_can_show_them():
    demos = load_demos(ROOT / "assets" / "results" / "markov")
    assert [demo.name for demo in demos] == ["transition1", "transition2"]
    for demo in demos:
        assert demo.recorded.frames[0].step == 0 and demo.recorded.frames[-1].step == demo.recorded.steps
        assert len(demo.recorded.frames) > 40
