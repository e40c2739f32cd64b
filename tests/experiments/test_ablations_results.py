"""The committed experiments: the document agrees with the results files, and its conclusions hold in them."""

import json

import pytest

from training.embedded.common.tables import filled
from training.experiments.ablations import image, markov
from training.experiments.ablations.card import DOCUMENT, RESULTS, passages

DATA = {"markov": markov.VARIANTS, "image": image.VARIANTS}


def variants(data):
    result = json.loads((RESULTS / f"method-{data}.json").read_text(encoding="utf-8"))
    return result["arms"]


def mean(data, variant, figure):
    return variants(data)[variant]["summary"][figure]["mean"]


def test_every_figure_of_the_document_comes_from_the_results():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert filled(text, passages()) == text, "run `python -m training.experiments.ablations.card`"


@pytest.mark.parametrize("data", DATA)
def test_every_variant_was_run_with_three_seeds(data):
    found = variants(data)
    assert set(found) == set(DATA[data])
    assert all([run["seed"] for run in variant["runs"]] == [0, 1, 2] for variant in found.values())


def test_the_sampled_gradient_learns_as_well():
    for data, names in {"image": ["gate"], "markov": ["gate", "annealed", "relaxed"]}.items():
        for name in names:
            whole, sampled = mean(data, f"{name}, all", "loss"), mean(data, f"{name}, sampled", "loss")
            assert sampled == pytest.approx(whole, abs=0.01)
    assert mean("image", "gate, sampled, same seconds", "loss") < mean("image", "gate, all", "loss")


def test_the_gate_should_start_from_a_mixture():
    assert mean("image", "gate, all", "stability") > 0.9 > 0.7 > mean("image", "gate, random start", "stability")
    assert mean("image", "relaxed, all", "stability") < 0.7


def test_the_other_answers_of_the_document():
    # Unequal shares: estimating the balance never hurts, and on Markov chains it is needed.
    unequal = ["unequal, gate, uniform", "unequal, gate, estimated"]
    before, after = (mean("markov", name, "accuracy") for name in unequal)
    assert after > before
    before, after = (mean("image", name, "stability") for name in unequal)
    assert after == pytest.approx(before, abs=0.02)
    # A surplus hypothesis is used: it shares a mode with another.
    assert mean("image", "K = 4, gate, uniform", "used") == 4
    assert 0.7 < mean("image", "K = 4, gate, uniform", "stability") < 0.9
    # Dropout noise in the scores makes no difference.
    noisy, clean = (mean("image", f"dropout, {kind} winner", "loss") for kind in ("noisy", "clean"))
    assert noisy == pytest.approx(clean, abs=0.005)


def test_a_training_step_meets_its_targets():
    """Against the grouped convolution at K = 5: twice as fast with half the memory."""
    cases = json.loads((RESULTS / "train_step.json").read_text(encoding="utf-8"))["hypotheses"]["5"]
    assert cases["sampled"]["times_faster"] >= 2 and cases["sampled"]["memory_share"] <= 0.5
