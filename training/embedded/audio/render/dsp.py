"""Small pure functions on mono waveforms: float32 [N] at ``RATE``."""

from __future__ import annotations

import io

import librosa
import numpy as np

RATE = 16_000
"""Samples a second everywhere here: the audio tower's rate."""
PEAK = 0.9
_FRAME = 160  # 10 ms


def decode(data: bytes) -> np.ndarray:
    """Samples of a file in any format libsndfile reads, channels averaged, resampled to ``RATE``."""
    mono, rate = librosa.load(io.BytesIO(data), sr=None)
    return librosa.resample(mono, orig_sr=rate, target_sr=RATE, fix=False)  # else a zero may be appended


def envelope(wave: np.ndarray) -> np.ndarray:
    """RMS of every 10 ms, in dB below the loudest 10 ms."""
    padded = np.pad(wave, (0, -len(wave) % _FRAME))
    frames = {"frame_length": _FRAME, "hop_length": _FRAME, "center": False}
    rms = librosa.feature.rms(y=padded, **frames, dtype=np.float64)[0]
    return librosa.amplitude_to_db(rms + 1e-9, ref=np.max, amin=1e-9, top_db=None)


def trimmed(wave: np.ndarray, floor: float = -45.0) -> np.ndarray:
    """Without the silence (below ``floor`` dB) before and after, 10 ms of it kept."""
    loud = np.flatnonzero(envelope(wave) > floor)
    return wave[max(0, loud[0] - 1) * _FRAME : (loud[-1] + 2) * _FRAME]


def occurrences(wave: np.ndarray, *, gap: float = 0.18, floor: float = -30.0, least: float = 0.04) -> list[np.ndarray]:
    """Split where it is silent (below ``floor`` dB) for at least ``gap`` seconds: each bark of a barking dog.

    Pieces shorter than ``least`` seconds are dropped unless there is no other.
    """
    loud = np.flatnonzero(envelope(wave) > floor)
    cuts = np.flatnonzero(np.diff(loud) > gap * RATE / _FRAME)
    starts, ends = loud[np.r_[0, cuts + 1]], loud[np.r_[cuts, len(loud) - 1]]
    # A decaying tail below the floor belongs to its sound, up to the next one.
    tails = np.r_[starts[1:], len(wave) // _FRAME + 1]
    pieces = []
    for start, end, limit in zip(starts, ends, tails, strict=True):
        stop = min(end + 12, limit)
        pieces.append(wave[max(0, start - 1) * _FRAME : stop * _FRAME])
    long_enough = [piece for piece in pieces if len(piece) >= least * RATE]
    return long_enough or [max(pieces, key=len)]


def faded(wave: np.ndarray, fade_in: float = 0.005, fade_out: float = 0.02) -> np.ndarray:
    """With raised-cosine ends, in seconds, so that cuts do not click."""
    out = wave.copy()
    for seconds, side in ((fade_in, slice(None)), (fade_out, slice(None, None, -1))):
        count = min(round(seconds * RATE), len(out) // 2)
        ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / max(count, 1))).astype(out.dtype)
        view = out[side]
        view[:count] *= ramp
    return out


def normalised(wave: np.ndarray, peak: float = PEAK) -> np.ndarray:
    """Without DC, its largest sample at ``peak``."""
    centred = wave - wave.mean()
    return (centred * (peak / max(float(np.abs(centred).max()), 1e-9))).astype(np.float32)


def loudness(wave: np.ndarray) -> float:
    """Level in dB of the louder half of its 10 ms frames: silence around a short sound does not count."""
    frames = np.pad(wave, (0, -len(wave) % _FRAME)).reshape(-1, _FRAME).astype(np.float64)
    power = np.sort((frames**2).mean(1))[::-1]
    return 10 * float(np.log10(power[: max(1, (len(power) + 1) // 2)].mean() + 1e-12))
