"""Tables and sentences of several starts on an embedded model, by hand on small results."""

import pytest

from training.embedded.common.domain import load_domain
from training.embedded.common.weight_files import committed_base
from training.experiments import evidence_starts as of_starts


def captions(recall, share=None):
    return {
        "best": {"recall": recall, "place_right": 0.5},
        "mean": {"recall": recall / 2, "place_right": 0.25},
        "diversity": {"mutual_bleu": 0.125},
        "loops": 0.01,
        "modes": [{"share": one, "media": max(one), "recall": recall} for one in (share or ([0.5, 0.5], [0.25, 0.75]))],
    }


def run(system, seed, hypotheses, mixture, recall, stability=(0.9, 1.0), share=None):
    likelihood = {"best": mixture - 0.1, "mean": mixture + 0.1, "mixture": mixture}
    if hypotheses > 1:
        likelihood |= {"stability": list(stability), "distinct": seed == 0, "main": [0, 1, 1], "used": 2}
        found = {"hypotheses": captions(recall, share)}
    else:
        found = {"beam": captions(recall, share), "diverse-beam": captions(recall - 0.1, share)}
    return {
        "system": system,
        "seed": seed,
        "steps": 9,
        "hypotheses": hypotheses,
        "likelihood": likelihood if hypotheses > 1 else likelihood | {"used": 1},
        "captions": found,
    }


@pytest.fixture
def content():
    kept, mixed = ([1.0, 0.1], [0.0, 0.9]), ([0.5, 0.5], [0.5, 0.5])
    runs = [
        run("caption-gate-3", 0, 3, 1.0, 0.6),
        run("caption-gate-3", 1, 3, 1.2, 0.8),
        run("mle", 0, 1, 1.3, 0.5),
        run("mle", 1, 1, 1.5, 0.5),
        run("moe-3", 0, 1, 1.1, 0.7),
        run("moe-3", 1, 1, 0.9, 0.9),
        run("bilingual-caption-gate-2", 0, 2, 1.0, 0.5, (0.96, 1.0), kept),
        run("bilingual-relaxed-2", 1, 2, 1.0, 0.5, (0.96, 1.0), mixed),
        run("caption-gate-4", 0, 4, 0.9, 0.75),
    ]
    return {"base": "base-3", "scenes": 7, "runs": runs}


def rows(text):
    return {line.split(" | ")[0].removeprefix("| "): line for line in text.splitlines()}


def test_losses_are_means_over_starts(content):
    found = rows(of_starts.likelihood_table(content, of_starts.SYSTEMS))
    assert (
        "| 2 x 9 | 1.000 ± 0.100 | 1.200 ± 0.100 | 1.100 ± 0.100 | 95.0 ± 0.0 % | 1 of 2 |"
        in found["K = 3, caption gate"]
    )
    assert "| 1.400 ± 0.100 | – | – |" in found["one adapter (LoRA-MLE), rank 8"]


def test_captions_of_each_search_have_a_row(content):
    found = rows(of_starts.captions_table(content, "image"))
    assert (
        "70.0 ± 10.0 % (35.0 ± 5.0 %) | 50.0 ± 0.0 % (25.0 ± 0.0 %) | 0.125" in found["hypotheses, K = 3, caption gate"]
    )
    assert "40.0 ± 0.0 %" in found["diverse beam search, one adapter (LoRA-MLE), rank 8"]


def test_who_keeps_to_a_language(content):
    found = rows(of_starts.languages_table(content))
    assert (
        "| 90.0 % to 100.0 % | 100.0 % | 50.0 % | 90.0 % | 50.0 % | 1.0 % |" in found["hypotheses, K = 2, caption gate"]
    )
    sentence = of_starts.on_languages(content)
    assert "K = 2, caption gate: yes, a language's main hypothesis wins at least 96.0 %" in sentence
    assert "K = 2, relaxed: no" in sentence and "in some start one hypothesis is the main one of both" in sentence


def test_numbers_of_hypotheses_begin_with_one_adapter(content):
    found = rows(of_starts.numbers_table(content, "image"))
    assert list(found)[2:] == ["one adapter (three beams)", "K = 3, caption gate", "K = 4, caption gate"]
    assert "| 1 x 9 | 0.800 | 0.900 | 2.0 | 2.0 | 75.0 % | 37.5 % |" in found["K = 4, caption gate"]


def test_more_and_less_need_every_start(content):
    sentence = of_starts.on_systems(content, "image")
    assert "a lower NLL than one adapter (LoRA-MLE), rank 8" in sentence
    assert "no clearly different NLL from LoRA-MoE" in sentence
    assert "more than beam search of one adapter (LoRA-MLE), rank 8 (50.0 ± 0.0 %)" in sentence
    assert "no clear difference to beam search of LoRA-MoE" in sentence
    assert "Place right by the best of their three captions (50.0 ± 0.0 %): no clear difference to" in sentence


def test_all_of_a_model_in_one_passage(content):
    found = of_starts.passage(content, "image")
    for part in (of_starts.on_systems(content, "image"), of_starts.on_languages(content), "| K = 4, caption gate |"):
        assert part in found


def test_figures_of_an_earlier_base_say_so(content):
    assert of_starts.on_base(content, "base-3") == "On the committed base (`base-3`), 7 test scenes."
    assert of_starts.on_base(content, "base-4") == (
        "On an earlier base (`base-3`), 7 test scenes; on the committed one (`base-4`) it was not run yet."
    )
    base = committed_base(load_domain("image"))
    assert of_starts.passage(content, "image").startswith(of_starts.on_base(content, base))


def test_nothing_to_compare_is_said(content):
    alone = {"scenes": 7, "runs": [run("mle", 0, 1, 1.0, 0.5)]}
    assert "not run" in of_starts.on_systems(alone, "image") and "not run" in of_starts.on_languages(alone)
