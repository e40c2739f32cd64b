"""Signals that distinguish right captions from wrong ones: AUC, threshold and agreement on small cases."""

import pytest

from lora_mcl.scores import CaptionScore, SystemScore
from training.embedded.image.doubt import auc, best_threshold, report, signals


def test_auc_by_hand():
    assert auc([3, 2, 1], [True, False, False]) == 1.0
    assert auc([1, 2, 3], [True, False, False]) == 0.0
    # Of four pairs two are won and one is equal.
    assert auc([2, 3, 1, 2], [True, True, False, True]) == 1.0
    assert auc([2, 1, 1, 3], [True, True, False, False]) == pytest.approx((1 + 0 + 0.5 + 0) / 4)
    with pytest.raises(ValueError, match="needs right and wrong captions"):
        auc([1.0, 2.0], [True, True])


def test_a_threshold_keeps_right_ones_and_catches_wrong_ones():
    assert best_threshold([-3.0, -2.0, -1.0, -0.5], [False, False, True, True]) == -1.0
    assert best_threshold([1.0, 2.0, 3.0], [True, False, True]) in (1.0, 3.0)


def test_signals_of_one_photograph():
    systems = tuple(SystemScore(f"hypothesis-{k}", str(k), (-1.0 - k, -2.0, -0.5)) for k in range(2))
    score = CaptionScore("a.jpg", "m", "A cat", ("A", " cat", ""), systems, SystemScore("baseline", "b", (-3.0,) * 3))
    captions = {"caption-gate/0": ["Un chat."], "caption-gate/1": ["A cat."], "beam": ["A cat.", "A cat."]}
    found = signals({"captions": captions}, "caption-gate/1", score)
    assert found["log_prob"] == -4.5 and found["mean_log_prob"] == -1.5 and found["least_log_prob"] == -2.0
    assert found["baseline_mean_log_prob"] == -3.0 and found["agreement_of_beams"] == 1.0
    assert found["mean_log_prob_of_all"] == pytest.approx(-(4.5 + 3.5 + 9.0) / 9)


def test_the_threshold_is_measured_on_photographs_that_did_not_choose_it():
    right = [True, True, False, False] * 3
    flat = {"log_prob": 0.0, "least_log_prob": 0.0, "agreement_of_beams": 0.5}
    measured = [(flat | {"mean_log_prob": 1 / 3 if is_right else -1.0}, is_right) for is_right in right]
    found = report(measured)
    assert found["auc"] == {"log_prob": 0.5, "least_log_prob": 0.5, "agreement_of_beams": 0.5, "mean_log_prob": 1.0}
    # Rounded down, so that 1/3 itself is not below it.
    assert (found["signal"], found["threshold"]) == ("mean_log_prob", 0.3333)
    assert found["held_out"] == {"sure": 3, "sure_right": 3, "doubted": 3, "doubted_right": 0}
