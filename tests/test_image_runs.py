"""What the command line can change of an image run, and annotators of unequal frequency."""

import argparse
import random
from collections import Counter

import numpy as np
import pytest

from training.image.features import Item
from training.image.grammar import Grammar
from training.image.lexicon import load_lexicon
from training.image.places import load_places
from training.image.sampler import sample_scene
from training.image.visits import CachedPictures, CaptionVisits
from training.runs import RUNS, Run, changed
from training.step import StepOptions


def given(**asked):
    options = {"backward": None, "clean_scores": False, "hypotheses": None, "dropout": None, "balance": None}
    return argparse.Namespace(**(options | {"gate_start": None, "mode_shares": None} | asked))


def test_nothing_asked_changes_nothing():
    for run in RUNS.values():
        assert changed(run, given()) == run
        assert run.step == StepOptions("all") and run.mode_shares is None


def test_what_is_asked_is_changed():
    run = changed(
        RUNS["caption-gate"],
        given(backward="sampled", clean_scores=True, hypotheses=4, dropout=0.1, mode_shares=[0.6, 0.3, 0.1]),
    )
    step = StepOptions("sampled", score_with_dropout=False)
    assert run == Run(4, 8, RUNS["caption-gate"].objective, step, 0.1, "uniform", "mixture", (0.6, 0.3, 0.1))
    assert [spec.dropout for spec in run.specs()] == [0.1] * 4


@pytest.mark.parametrize(("shares", "expected"), [(None, (1 / 3, 1 / 3, 1 / 3)), ((0.6, 0.3, 0.1), (0.6, 0.3, 0.1))])
def test_annotators_caption_as_often_as_asked(shares, expected):
    rng = random.Random(0)
    items = tuple(Item(sample_scene(rng, ["cat", "bus", "apple"], ["beach", "street"]), (320, 320), (0,)) for _ in "ab")
    pictures = CachedPictures(items, (np.zeros((1, 16, 160), np.float32),), (0, 0))
    visits = CaptionVisits(pictures, Grammar(load_lexicon(), load_places()), 600, 3, mode_shares=shares)
    counts = Counter(visits[number].mode for number in range(600))
    for mode, share in zip(("en-objects", "en-place", "fr-place"), expected, strict=True):
        assert counts[mode] / 600 == pytest.approx(share, abs=0.08)
