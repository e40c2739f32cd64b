"""The committed Markov results: they reach what theory allows, and the document says what they say."""

import pytest

from lora_mcl.markov import MarkovMixture, theory_of, visible_nll
from training.markov.card import CARD, RANDOM, SETUPS, load, passages
from training.markov.setups import PAPER_SETUPS, RECIPES, random_setup
from training.tables import filled
from ui.lessons import load_lessons

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


def test_the_papers_recipe_is_the_papers():
    for name in ("transition1", "transition2"):
        recipe = load(name)["recipe"]
        assert recipe["name"] == "paper" and recipe["learning"]["learning_rate"] == 1e-4
        assert (recipe["learning"]["steps"], recipe["learning"]["batch_size"]) == (501, 128)
        assert recipe["model"]["initializer_range"] == RECIPES["paper"].model.initializer_range == 0.02
        tuned = load(f"{name}-tuned")["recipe"]
        assert tuned["name"] == "tuned" and tuned["model"]["initializer_range"] == 0.04


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
    arms = load("gate")["results"]["same-tokens"]
    assert arms["gate on tokens"]["gate_accuracy"]["mean"] < 0.6
    assert arms["gate on transitions"]["gate_accuracy"]["mean"] > 0.99
    assert arms["gate on transitions"]["loss"]["mean"] < arms["gate on tokens"]["loss"]["mean"]


def test_the_document_says_what_the_results_say():
    text = CARD.read_text(encoding="utf-8")
    assert text.count("<!-- /") == len(passages())
    assert filled(text, passages()) == text, "run `python -m training.markov.card`"


def test_the_page_can_show_them():
    lessons = load_lessons(CARD.parents[1] / "assets" / "results" / "markov")
    assert [lesson.name for lesson in lessons] == ["transition1", "transition2"]
    for lesson in lessons:
        assert lesson.recorded.frames[0].step == 0 and lesson.recorded.frames[-1].step == lesson.recorded.steps
        assert len(lesson.recorded.frames) > 40
