"""Values worked out by hand; single letters are words."""

import math

import pytest

from lora_mcl.metrics import distinct_n, diversity, mutual_bleu, vocabulary, words
from lora_mcl.metrics.diversity import _corpus_bleu


def examples(text: str) -> list[list[list[str]]]:
    """``"a b | a c ; d"``: captions are separated by ``|``, examples by ``;``."""
    return [[caption.split() for caption in example.split("|")] for example in text.split(";")]


A = "a b c d e | a b c d f"
B = A + " ; g h i j | g h i j"
F = "a b c d e f | a b c d | a b c d e g h i"
D = "x y z | x y z"


@pytest.mark.parametrize(
    ("text", "bleu", "one", "two"),
    [
        # Precisions 4/5, 3/4, 2/3, 1/2 on both sides: their product is 1/5.
        (A, 0.2**0.25, 6 / 10, 5 / 10),
        # Corpus precisions 8/9, 6/7, 4/5, 2/3; a mean of sentence scores would give .834370.
        (B, 0.798408, 0.55, 0.4375),
        # Lengths 4 and 8 tie for a candidate of 6: the shorter wins, so there is no penalty; then e^-.5.
        (F, (0.759836 + math.exp(-0.5) + 0.516973) / 3, 9 / 18, 8 / 18),
        # No 4-gram anywhere: pairs and triples decide. The COCO code gives (1e-15 / 1e-9)^(1/4) to these.
        (D, 1.0, 3 / 6, 2 / 6),
    ],
    ids=["A", "B", "F", "D"],
)
def test_hand_values(text, bleu, one, two):
    assert mutual_bleu(examples(text)) == pytest.approx(bleu, abs=1e-6)
    assert distinct_n(examples(text), 1) == pytest.approx(one, abs=1e-6)
    assert distinct_n(examples(text), 2) == pytest.approx(two, abs=1e-6)


@pytest.mark.parametrize(("text", "bleu"), [(A, 0.668740), (B, 0.798408), (F, 0.627780), (D, 0.031623)])
def test_mutual_bleu_of_the_official_evaluation(text, bleu):
    """D has no 4-gram: the constants (1e-15 / 1e-9)^(1/4) are all that is left, though the captions are equal."""
    assert mutual_bleu(examples(text), always_4=True) == pytest.approx(bleu, abs=1e-6)


@pytest.mark.parametrize(("text", "count"), [(A, 6), (B, 10), (F, 9), (D, 3)])
def test_vocabulary(text, count):
    assert vocabulary(examples(text)) == count


def test_mean_over_hypotheses_of_F():
    assert mutual_bleu(examples(F)) == pytest.approx(0.627780, abs=1e-6)


def test_brevity_penalty_is_taken_once_on_the_totals():
    # Caption 0: 4 + 6 words against 6 + 4, so no penalty on the totals though example 0 alone has one.
    text = "a b c d | a b c d e f ; g h i j k l | g h i j"
    k0 = (8 / 10 * 6 / 8 * 4 / 6 * 2 / 4) ** 0.25
    assert mutual_bleu(examples(text)) == pytest.approx(k0, abs=1e-6)


def test_equal_captions_are_not_diverse():
    measured = diversity(["A red car on a road."] * 3)
    assert measured.mutual_bleu == pytest.approx(1, abs=1e-6)
    assert measured.distinct_1 == pytest.approx(5 / 18, abs=1e-6)


def test_captions_without_a_common_word():
    measured = diversity(["one two three four", "cinq six sept huit"])
    assert measured.mutual_bleu == pytest.approx(0, abs=1e-3)
    assert (measured.distinct_1, measured.distinct_2) == pytest.approx((1, 6 / 8), abs=1e-6)


@pytest.mark.parametrize("captions", [[], ["alone"]])
def test_fewer_than_two_captions_have_no_diversity(captions):
    assert diversity(captions) is None


def test_empty_captions_are_measured_not_refused():
    assert diversity(["", ""]).distinct_1 == 0
    assert diversity(["", "a cat"]).mutual_bleu == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("bad", [[], [[["a"]]], [[["a"], ["b"]], [["a"], ["b"], ["c"]]]])
def test_mutual_bleu_refuses_ragged_or_single_captions(bad):
    with pytest.raises(ValueError, match="same number of captions"):
        mutual_bleu(bad)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A T-shirt, and a cat.", ["a", "t", "shirt", "and", "a", "cat"]),
        ("L’orange et l'éléphant !", ["l'orange", "et", "l'éléphant"]),
        ("  «Deux»\tchats\u2028noirs… ", ["deux", "chats", "noirs"]),
        ("?!", []),
    ],
)
def test_words(caption, expected):
    assert words(caption) == expected


@pytest.mark.parametrize("caption", ["", "cat", "a cat", "a cat sleeps", "a cat sleeps here", "a cat sleeps here now"])
def test_equal_captions_of_any_length(caption):
    assert diversity([caption] * 3).mutual_bleu == pytest.approx(1, abs=1e-6)


def test_short_captions_that_differ():
    assert diversity(["a cat", "a dog"]).mutual_bleu == pytest.approx(0, abs=1e-6)  # no pair in common
    assert diversity(["cat", "dog"]).mutual_bleu == pytest.approx(0, abs=1e-6)
    assert diversity(["", "dog"]).mutual_bleu == pytest.approx(0, abs=1e-6)


def test_a_word_is_clipped_at_the_reference_that_has_it_most_often():
    """ "a a" against "a b" and "a c": one of two, not both, though the references have two together."""
    first = [1 / 2, (0 + 1e-15) / (1 + 1e-9)]
    others = [1 / 2, (0 + 1e-15) / (1 + 1e-9)]  # "a b" against "a a" and "a c": a, not b; no pair
    expected = (math.prod(first) ** 0.5 + 2 * math.prod(others) ** 0.5) / 3
    assert mutual_bleu([[["a", "a"], ["a", "b"], ["a", "c"]]]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("own", "others", "counts"),
    [(5, (1, 6), 6), (5, (6, 1), 6), (5, (9, 7), 7), (5, (7, 3), 3), (5, (3, 7), 3), (5, (5, 6), 5), (2, (1, 2), 2)],
)
def test_the_reference_of_the_closest_length_counts(own, others, counts):
    """Of two as close, the shorter one. All words are the same, so precision is 1 where a reference is long enough."""
    bleu = _corpus_bleu([["a"] * own], [[["a"] * length for length in others]], False)
    assert bleu == pytest.approx(min(1, math.exp(1 - counts / own)), abs=1e-6)
