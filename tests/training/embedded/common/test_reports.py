"""Best, mean and worst of several captions, and the report on each method, by hand."""

from dataclasses import dataclass

import pytest
import torch

from training.embedded.common.comparison import ADAPTERS, generation_report, likelihood_report
from training.embedded.common.reports import (
    ScoredCaption,
    diversity_report,
    hypothesis_report,
    mean,
    set_report,
)


@dataclass(frozen=True)
class Score:
    recall: float
    precision: float
    place_right: bool
    count_right: float | None


def one(
    recall: float, precision: float, place: bool = False, count: float | None = None, mode: str = "m"
) -> ScoredCaption:
    return ScoredCaption("", mode, Score(recall, precision, place, count))


SETS = [
    [one(1.0, 0.5, False, 0.0), one(0.5, 0.5, True, 1.0), one(0.0, 0.0)],
    [one(0.5, 1.0), one(0.5, 0.5), one(1.0, 0.2, True)],
]


def test_best_and_worst_go_by_what_is_named_and_the_rest_stands_alone():
    report = set_report(SETS)
    # F1 in the first set .67 .5 0, in the second .67 .5 .33.
    assert report["best"] == {"recall": 0.75, "precision": 0.75, "place_right": 1.0, "count_right": 1.0}
    assert report["worst"] == {"recall": 0.5, "precision": 0.1, "place_right": 0.0, "count_right": 0.0}
    assert report["mean"] == {
        "recall": round(3.5 / 6, 4),
        "precision": round(2.7 / 6, 4),
        "place_right": round(2 / 6, 4),
        "count_right": 0.5,
    }


def test_nothing_to_judge_is_none_not_zero():
    assert mean([]) is None
    report = set_report([[one(0, 0), one(0, 0)]])
    assert report["best"]["count_right"] is None and report["best"]["recall"] == 0.0


def test_a_hypothesis_is_reported_with_its_mode():
    captions = [one(1.0, 1.0, True, 1.0, mode="a"), one(0.0, 0.0, False, None, mode="b")]
    assert hypothesis_report(captions, "a") == {
        "in_mode": 0.5,
        "recall": 0.5,
        "precision": 0.5,
        "place_right": 0.5,
        "count_right": 1.0,
    }


def test_diversity_is_averaged_over_media():
    same, different = ["a cat sat here", "a cat sat here"], ["a cat sat here", "two dogs ran off"]
    report = diversity_report([same, different])
    assert report["distinct_1"] == pytest.approx((0.5 + 1.0) / 2) and report["mutual_bleu"] > 0


def test_methods_are_compared_over_all_adapters():
    modes, media = ("a", "b", "c"), 4
    nll = torch.full((len(ADAPTERS), 3, media), 2.0)
    for k in range(3):
        nll[k, k] = 1.0  # caption gate: hypothesis k owns mode k
    nll[3:6, :, :2], nll[3, :, 2:] = 3.0, 1.0  # relaxed: one hypothesis wins half of the media, ties go to the first
    nll[6:] = 1.5
    report = likelihood_report(nll)
    gate, relaxed = report["caption-gate"], report["relaxed"]
    assert gate["stability"]["main"] == (0, 1, 2) and gate["stability"]["share"] == (1.0, 1.0, 1.0)
    assert gate["oracle_nll"] == 1.0 and gate["mode_matrix"][1] == [2.0, 1.0, 2.0]
    assert relaxed["oracle_nll"] == 2.0 and not relaxed["stability"]["distinct"]
    assert report["mle"] == {"nll": 1.5, "mode_nll": [1.5, 1.5, 1.5]}
    texts = {name: [f"{name} says"] for name in ADAPTERS[:6]}
    rows = [texts | {"beam": ["x", "y", "z"], "diverse-beam": ["x", "y", "z"]} for _ in range(media)]

    def judge(number: int, text: str) -> ScoredCaption:
        right = text.startswith("caption-gate/0") and number % 2 == 0
        return ScoredCaption(text, "a" if text.startswith("caption-gate/0") else None, Score(right, right, False, None))

    generation = generation_report(rows, modes, report, judge)
    assert generation["caption-gate"]["best"]["recall"] == 0.5 and generation["beam"]["best"]["recall"] == 0.0
    assert generation["caption-gate"]["hypotheses"]["caption-gate/0"]["in_mode"] == 1.0
    assert generation["relaxed"]["hypotheses"]["relaxed/1"] is None and "in_mode" not in generation["beam"]["first"]
