"""How a sound sounds: made waves whose length, pitch and tone are known."""

import numpy as np
import pytest

from training.embedded.audio.annotation.timbre import (
    BY_ID,
    TIMBRES,
    Timbre,
    measure_timbre,
    timbre_clause,
)
from training.embedded.audio.render.dsp import RATE
from training.embedded.audio.render.effects import band_limited


def noise(seconds: float, low: float = 0, high: float = RATE / 2) -> np.ndarray:
    wave = np.random.default_rng(0).standard_normal(round(seconds * RATE)).astype(np.float32)
    return band_limited(wave, low, high)


def harmonics(pitch: float, seconds: float) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return sum(np.sin(2 * np.pi * pitch * n * time) / n for n in range(1, 6)).astype(np.float32)


@pytest.mark.parametrize(
    ("wave", "expected"),
    [
        (noise(0.1, 3000), (-1, 1, -1)),
        (noise(0.6, 300, 3000), (0, 0, -1)),
        (noise(2.0, 0, 400), (1, -1, -1)),
        (harmonics(200, 2.0), (1, -1, 1)),
        (harmonics(700, 0.5), (0, 0, 1)),
        (harmonics(2500, 0.15), (-1, 1, 1)),
        (harmonics(700, 1.5) + 1.6 * noise(1.5, 400, 2500), (1, 0, 0)),
    ],
)
def test_made_sounds(wave, expected):
    found = measure_timbre(wave)
    assert (found.length, found.pitch, found.tone) == expected
    assert measure_timbre(0.01 * wave) == found, "at any level"


def test_silence_after_a_sound_does_not_make_it_long():
    click = noise(0.05)
    assert measure_timbre(np.concatenate([click, np.zeros(3 * RATE, np.float32)])).length == -1
    assert measure_timbre(click[:64]).length == -1, "shorter than a window"


def test_words():
    assert len(BY_ID) == len({timbre_clause(one) for one in TIMBRES}) == 27
    low, whistle = timbre_clause(Timbre(-1, -1, -1)), timbre_clause(Timbre(1, 1, 1))
    assert (low.en, low.verb, low.verbe) == ("something", "makes a short low noise", "fait un bruit bref et grave")
    assert (whistle.ing, whistle.verbe) == ("making a long high-pitched tone", "émet une note longue et aiguë")
    assert timbre_clause(Timbre(0, 0, 0)).verbe == "fait un son"


def test_in_between_contradicts_nothing():
    short, medium, long = (Timbre(length, 0, 0) for length in (-1, 0, 1))
    assert short.fits(medium) and medium.fits(long) and medium.fits(short) and not short.fits(long)
    assert not Timbre(0, 1, 0).fits(Timbre(0, -1, 0)) and not Timbre(0, 0, 1).fits(Timbre(0, 0, -1))
    with pytest.raises(ValueError, match="-1, 0 or 1"):
        Timbre(2, 0, 0)
