"""Specialisation report by hand."""

import math

import pytest

from training.evaluation.specialisation import mode_report, specialisation, typical_words


def test_modes_that_each_have_a_hypothesis():
    found = mode_report([("en", 1), ("en", 1), ("fr", 0)], 2)
    assert found["modes"] == ["en", "fr"]
    assert found["share"] == [[0, 1], [1, 0]]
    assert found["winner_given_mode"] == found["mode_given_winner"] == pytest.approx(0)


def test_a_hypothesis_that_wins_everything_has_no_information_on_the_mode():
    found = mode_report([("en", 0), ("fr", 0)], 2)
    assert found["winner_given_mode"] == 0
    assert found["mode_given_winner"] == pytest.approx(math.log(2), abs=1e-4)


def test_a_mode_cut_in_two():
    """Hypotheses 0 and 1 share English, 2 has French: the winner determines the mode, the mode not the winner."""
    found = mode_report([("en", 0), ("en", 1), ("fr", 2), ("fr", 2)], 3)
    assert found["winner_given_mode"] == pytest.approx(math.log(2) / 2, abs=1e-4)
    assert found["mode_given_winner"] == pytest.approx(0, abs=1e-4)


def test_words_that_only_one_hypothesis_uses_come_first():
    one = ["a cat sleeps"] * 20
    other = ["un chat dort"] * 20
    assert typical_words([one, other]) == [["a", "cat", "sleeps"], ["chat", "dort", "un"]]


def test_equal_hypotheses_have_no_typical_words():
    assert typical_words([["a cat"] * 9, ["a cat"] * 9]) == [[], []]


def test_winners_and_lengths():
    line = {
        "captions": {"hypotheses": ["a cat", "a black cat sleeps on the sofa"]},
        "nll": [[1.0, 3.0, 2.0], [2.0, 1.0, 2.0], [0.0, 0.0, 0.0]],
        "modes": [None, None, None],
    }
    found = specialisation([line], 2)  # the third row is the baseline's, which is no hypothesis
    assert [one["wins"] for one in found["hypotheses"]] == pytest.approx([2 / 3, 1 / 3], abs=1e-4)
    assert [one["words"] for one in found["hypotheses"]] == [2, 7]
    assert [set(one["languages"]) for one in found["hypotheses"]] != [set(), set()]
    assert found["modes"] is None
