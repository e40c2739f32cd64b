"""Audio augmentation: pitch, colour, band limits, reverberation. Waveforms are float32 [N] at ``RATE``."""

from __future__ import annotations

import functools

import librosa
import numpy as np
from scipy import signal

from training.embedded.audio.render.dsp import RATE


def pitched(wave: np.ndarray, semitones: float) -> np.ndarray:
    """Played faster (higher) or slower (lower), as a tape would be."""
    if abs(semitones) < 0.01:
        return wave
    return librosa.resample(wave, orig_sr=RATE * 2 ** (semitones / 12), target_sr=RATE, fix=False)


COLOUR_POINTS = np.geomspace(60, RATE / 2, 8)
"""Frequencies, Hz, between whose random levels a colour runs straight, over the logarithm of the frequency."""


def coloured(wave: np.ndarray, decibels: float, rng: np.random.Generator) -> np.ndarray:
    """As another microphone would record it: each octave louder or softer at random, by ``decibels`` (one sigma)."""
    if decibels <= 0:
        return wave
    levels = np.interp(
        np.log(np.maximum(np.fft.rfftfreq(len(wave), 1 / RATE), COLOUR_POINTS[0])),
        np.log(COLOUR_POINTS),
        rng.normal(0, decibels, len(COLOUR_POINTS)),
    )
    return np.fft.irfft(np.fft.rfft(wave) * 10 ** (levels / 20), len(wave)).astype(np.float32)


@functools.lru_cache(maxsize=64)
def _filter(kind: str, cutoff: int) -> np.ndarray:
    return signal.butter(4, cutoff, kind, fs=RATE, output="sos")


def band_limited(wave: np.ndarray, low: float = 0, high: float = RATE / 2) -> np.ndarray:
    """Without what lies below ``low`` and above ``high`` Hz (fourth-order Butterworth, to the nearest 50 Hz)."""
    if low >= 25:
        wave = signal.sosfilt(_filter("highpass", max(50, round(low / 50) * 50)), wave)
    if high <= RATE / 2 - 25:
        wave = signal.sosfilt(_filter("lowpass", min(round(high / 50) * 50, RATE // 2 - 50)), wave)
    return np.asarray(wave, np.float32)


def reverberated(wave: np.ndarray, seconds: float, share: float, rng: np.random.Generator) -> np.ndarray:
    """In a room whose echo takes ``seconds`` to fall by 60 dB, ``share`` of the energy being echo.

    The room is exponentially decaying noise, dull at its end as rooms are; the result is as long as the input.
    """
    if share <= 0:
        return wave
    count = max(1, round(seconds * RATE))
    decay = 10 ** (-3 * np.arange(count) / count)
    response = band_limited((rng.standard_normal(count) * decay).astype(np.float32), 150, 5000)
    response /= np.sqrt((response**2).sum()) + 1e-9
    echo = signal.oaconvolve(wave, response)[: len(wave)]
    scale = np.sqrt((wave**2).sum() / max(float((echo**2).sum()), 1e-12))
    return (np.sqrt(1 - share) * wave + np.sqrt(share) * scale * echo).astype(np.float32)
