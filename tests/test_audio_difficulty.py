"""How hard sounds are said to be, and clips with one recording alone."""

import random

import numpy as np
import pytest

from training.audio.alone import alone
from training.audio.difficulty import CLEAR, PARTS, UNCLEAR, part, vague
from training.audio.lexicon import load_lexicon
from training.audio.material import Material
from training.audio.recordings import PACK_DIR


def test_a_clip_of_one_recording():
    material = Material("train", PACK_DIR)
    first, second = material.recordings("thunder")[:2]
    waves = [alone("thunder", material, random.Random(5), one)[1].wave for one in (first, first, second)]
    assert np.array_equal(waves[0], waves[1]) and not np.array_equal(waves[0], waves[2])


def test_the_harder_a_sound_the_vaguer_by_hand():
    # One hit in three is added to what was counted.
    assert vague(15, 15) == pytest.approx(0.1 + 0.4 * (1 - 16 / 18), abs=0.005)
    assert vague(0, 2) == pytest.approx(0.1 + 0.4 * (1 - 1 / 5), abs=0.005)
    assert CLEAR < vague(9, 10) < vague(2, 10) < vague(0, 10) < UNCLEAR
    assert {part(f"package-{number}") for number in range(60)} == set(range(PARTS))
    shares = load_lexicon().vague
    assert all(CLEAR <= share <= UNCLEAR for share in shares.values())
    assert shares["applause"] < shares["cow"] + 0.1 < shares["typing"]
