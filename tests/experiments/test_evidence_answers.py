"""The words of the five sentences follow from the figures."""

import pytest

from training.experiments.evidence_answers import answers, in_short


def scenes(gate, beam, diverse, gate_loss=0.7, wide=0.8, share=0.99, bleu=0.1):
    """A test part of an embedded model whose systems have these shares in every field."""

    def report(value, mutual_bleu):
        score = dict.fromkeys(("family_recall", "recall", "place_right"), value)
        return {**dict.fromkeys(("best", "mean", "worst"), score), "diversity": {"mutual_bleu": mutual_bleu}}

    alone = {"caption-gate/0": {"family_recall": 0.5}, "caption-gate/1": {"family_recall": 0.25}}
    generation = {
        "caption-gate": report(gate, bleu) | {"hypotheses": alone},
        "relaxed": report(gate, 0.2),
        "beam": report(beam, 0.6),
        "diverse-beam": report(diverse, 0.3),
    }
    stability = {"share": [share, 0.99], "main": [0, 1]}
    likelihood = {
        "caption-gate": {"oracle_nll": gate_loss, "stability": stability},
        "relaxed": {"oracle_nll": gate_loss, "stability": {"share": [0.5, 0.75]}},
        "mle": {"nll": 0.8},
        "mle-wide": {"nll": wide},
    }
    return {"test": {"modes": ["events", "scene"], "generation": generation, "likelihood": likelihood}}


def test_the_words_of_the_five_sentences_follow_from_the_figures():
    same = answers(scenes(0.5, 0.49, 0.515), scenes(0.5, 0.5, 0.5), {})
    assert "With a choice of three captions: level with both searches in sounds named, objects named" in same
    mixed = answers(scenes(0.5, 0.4, 0.5), scenes(0.3, 0.4, 0.4), {})
    assert "ahead of beam search and level with diverse beam search in sounds named; behind both" in mixed
    assert "Without a choice, on average over the three: ahead of beam search and level with diverse" in mixed
    assert "the hypothesis of the annotator scene names 25.0 %" in mixed
    assert "**The captions differ more**: mBLEU-4" in mixed
    assert "keeps to one way of describing with the caption gate alone**" in mixed
    assert "99.0 % to 99.0 % (sounds) and 99.0 % to 99.0 % (pictures) with the caption gate, 50.0 % to 75.0 %" in mixed
    assert "**More parameters alone do not help**" in mixed and "which flatters them" in mixed
    other = answers(scenes(0.5, 0.5, 0.5, 0.8, 0.7, 0.9, 0.4), scenes(0.5, 0.5, 0.5), {})
    assert "**The captions differ more for pictures alone**" in other and "with neither assignment**" in other
    assert "**More parameters alone help too**" in other and "no less, though the choice" in other


def starts(gate: list[float], beam: list[float], diverse: list[float]) -> dict:
    def captions(share: float) -> dict:
        return {which: {"family_recall": share} for which in ("best", "mean")}

    runs = [{"system": "caption-gate-3", "captions": {"hypotheses": captions(share)}} for share in gate]
    return {
        "runs": runs
        + [
            {"system": "mle", "captions": {"beam": captions(one), "diverse-beam": captions(other)}}
            for one, other in zip(beam, diverse, strict=True)
        ]
    }


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (starts([0.51, 0.52], [0.4, 0.41], [0.5, 0.5]), "ahead of both searches in sounds named"),
        # Ahead of diverse beam search in one training, but not in every one.
        (starts([0.51, 0.5], [0.4, 0.41], [0.5, 0.505]), "ahead of beam search and level with diverse beam search in"),
        (starts([0.3, 0.3], [0.4, 0.4], [0.4, 0.4]), "level with both searches in sounds named"),
        (starts([0.3], [0.4], [0.4]), "ahead of both searches in sounds named"),  # one start decides nothing
        (None, "ahead of both searches in sounds named"),
    ],
)
def test_ahead_is_what_is_so_in_every_start(found, expected):
    sentences = in_short(scenes(0.5, 0.4, 0.4), scenes(0.5, 0.5, 0.5), {"audio": found})
    assert all(expected in sentence for sentence in sentences)
