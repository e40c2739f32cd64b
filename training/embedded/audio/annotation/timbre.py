"""The timbre of a sound, for captions of what cannot be recognised: short or long, low or high, a noise or a tone.

Measured on the waveform itself, so it holds for any recording.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, fields

import numpy as np
from scipy import ndimage, signal

from training.embedded.audio.render.dsp import RATE, envelope
from training.embedded.audio.world.lexicon import Clause

SHORT, LONG = 0.25, 1.2
"""Seconds."""
LOW, HIGH = 450.0, 2200.0
"""Mean frequency (of log frequency, weighted by power), Hz."""
NOISE, TONE = 0.25, 0.6
"""Share of the power that stands out of the spectrum around it."""
AUDIBLE = -20.0
"""What is quieter than this, in dB below the loudest 10 ms, does not count."""
WINDOW = 1024
LOWEST = 2
"""Frequencies below this bin (31 Hz) are left out."""
FRAMES = 24
"""The loudest are looked at."""
PROMINENT = 10.0
AROUND = 31
"""A frequency stands out if it has ``PROMINENT`` times the median power of so many around it (480 Hz)."""

LENGTHS = {-1: "short", 0: "", 1: "long"}
PITCHES = {-1: "low", 0: "", 1: "high-pitched"}
NOUNS = {-1: "noise", 0: "sound", 1: "tone"}
FRENCH = {
    "masculine": ({-1: "bref", 0: "", 1: "long"}, {-1: "grave", 0: "", 1: "aigu"}),
    "feminine": ({-1: "brève", 0: "", 1: "longue"}, {-1: "grave", 0: "", 1: "aiguë"}),
}
FRENCH_NOUNS = {-1: ("fait un bruit", "masculine"), 0: ("fait un son", "masculine"), 1: ("émet une note", "feminine")}


@dataclass(frozen=True)
class Timbre:
    """Timbre of a sound: each quality is -1, 0 (in between) or 1.

    Attributes:
        length: short or long.
        pitch: low or high.
        tone: a noise or a tone.
    """

    length: int
    pitch: int
    tone: int

    def __post_init__(self) -> None:
        if any(getattr(self, field.name) not in (-1, 0, 1) for field in fields(self)):
            raise ValueError(f"each quality must be -1, 0 or 1: {self}")

    @property
    def id(self) -> str:
        return "_".join(word for word in (LENGTHS[self.length], PITCHES[self.pitch], NOUNS[self.tone]) if word)

    def fits(self, other: Timbre) -> bool:
        """Whether no quality contradicts the other's: in between is neither short nor long."""
        return all(abs(getattr(self, field.name) - getattr(other, field.name)) < 2 for field in fields(self))


TIMBRES = tuple(Timbre(*three) for three in itertools.product((-1, 0, 1), repeat=3))
BY_ID = {timbre.id: timbre for timbre in TIMBRES}


@functools.cache
def timbre_clause(timbre: Timbre) -> Clause:
    """The clause of a timbre: "something makes a short low noise", "quelque chose fait un bruit bref et grave"."""
    english = " ".join(timbre.id.split("_"))
    noun, gender = FRENCH_NOUNS[timbre.tone]
    lengths, pitches = FRENCH[gender]
    adjectives = " et ".join(word for word in (lengths[timbre.length], pitches[timbre.pitch]) if word)
    return Clause(
        "something", f"makes a {english}", f"making a {english}", "quelque chose", f"{noun} {adjectives}".strip()
    )


def measure_timbre(wave: np.ndarray) -> Timbre:
    """The timbre of one occurrence of a sound, float32 [N] at ``RATE``."""
    seconds = float((envelope(wave) > AUDIBLE).mean()) * len(wave) / RATE
    padded = np.pad(wave, (0, max(0, WINDOW - len(wave)))).astype(np.float64)
    frequencies, _, power = signal.spectrogram(padded, RATE, "hann", WINDOW, WINDOW // 2, mode="psd")
    frequencies, power = frequencies[LOWEST:], power[LOWEST:]
    loudest = np.argsort(power.sum(0))[::-1][:FRAMES]
    power = power[:, loudest[power.sum(0)[loudest] > power.sum(0).max() * 10 ** (AUDIBLE / 10)]]
    spectrum = power.sum(1) + 1e-20
    pitch = float(np.exp((np.log(frequencies) * spectrum).sum() / spectrum.sum()))
    around = ndimage.median_filter(power, (AROUND, 1), mode="nearest")
    prominent = float(power[power > PROMINENT * around].sum() / spectrum.sum())
    return Timbre(_side(seconds, SHORT, LONG), _side(pitch, LOW, HIGH), _side(prominent, NOISE, TONE))


def _side(value: float, low: float, high: float) -> int:
    return int(value > high) - int(value < low)
