"""Mix a scene: events in their order over a background, with the room, the band and the levels of a recording.

A rendered clip comes with the time spans of each event, which the projector's alignment learns from.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.embedded.audio.annotation.timbre import Timbre, measure_timbre
from training.embedded.audio.render.dsp import RATE, faded, loudness, occurrences
from training.embedded.audio.render.effects import band_limited, coloured, pitched, reverberated
from training.embedded.audio.world.lexicon import Lexicon
from training.embedded.audio.world.scene import Event, Scene

SECONDS = 10.0
LONG_SECONDS = (2.2, 4.5)
"""A long event that shares its clip lasts so long; one alone may fill the clip."""
SHORT_SECONDS = 2.4
REPEAT_GAP = (0.25, 0.6)
STEP_GAP = (0.32, 0.55)
"""Between the beginnings of the strokes, steps or drips that make up a long event."""
EVENT_LEVEL = -20.0
LEVELS = {"soft": -11.0, "normal": 0.0, "loud": 6.0}
"""Added to ``EVENT_LEVEL``, dB."""
BACKGROUND_BELOW = (9.0, 18.0)
"""A background lies so many dB below a normal event."""
OVERLAP = 0.55
"""In scenes whose events overlap, the least share of the shorter one that overlaps the other."""

Chooser = Callable[[str, random.Random], np.ndarray]
Span = tuple[float, float]


@dataclass(frozen=True)
class Augmentation:
    """How far a clip's sounds may be from their recordings.

    Attributes:
        semitones: each sound is at most so much higher or lower.
        colour: of each sound, the spread (dB, one sigma) of its levels at different frequencies.
        noise: of a clip without a background, the range (dB) of the noise under it.
    """

    semitones: float = 2.0
    colour: float = 0.0
    noise: tuple[float, float] = (-75.0, -55.0)


@dataclass(frozen=True)
class Clip:
    """A rendered scene.

    Attributes:
        samples: float32 [N] at ``RATE``.
        spans: of each event, when it occurs, in seconds.
        timbres: of each event, how it sounds.
        above: of each event, how far it lies above all the rest while it occurs, dB.
    """

    samples: np.ndarray
    spans: tuple[tuple[Span, ...], ...]
    timbres: tuple[Timbre, ...]
    above: tuple[float, ...]


def render(
    scene: Scene,
    lexicon: Lexicon,
    choose: Callable[[Event, random.Random], np.ndarray],
    choose_background: Chooser,
    rng: random.Random,
    seconds: float = SECONDS,
    augmentation: Augmentation | None = None,
) -> Clip:
    """Mix one clip of ``seconds``; all chance comes from ``rng``.

    Args:
        choose: a recording of an event.
        choose_background: a recording of a background.
        augmentation: the usual one by default.
    """
    augmentation = augmentation or Augmentation()
    noise = np.random.default_rng(rng.getrandbits(48))
    parts = [
        _event(event, scene, lexicon, choose(event, rng), rng, noise, seconds, augmentation) for event in scene.events
    ]
    starts = _starts([len(part) / RATE for part, _ in parts], scene, rng, seconds)
    mix = np.zeros(round(seconds * RATE), np.float32)
    spans, alone = [], []
    for start, (part, inside) in zip(starts, parts, strict=True):
        at = round(start * RATE)
        part = part[: len(mix) - at]
        mix[at : at + len(part)] += part
        alone.append((at, part))
        spans.append(tuple((start + a, min(start + b, seconds)) for a, b in inside if start + a < seconds))
    if scene.background is not None:
        recording = coloured(choose_background(scene.background, rng), augmentation.colour, noise)
        background = _background(recording, len(mix), rng, augmentation.semitones)
        below = rng.uniform(*BACKGROUND_BELOW) if scene.events else rng.uniform(0, 6)
        mix += _at_level(background, EVENT_LEVEL - below)
    else:
        mix += (noise.standard_normal(len(mix)) * 10 ** (rng.uniform(*augmentation.noise) / 20)).astype(np.float32)
    above = tuple(_above(mix, *one, of_it) for one, of_it in zip(alone, spans, strict=True))
    if rng.random() < 0.5:
        mix = band_limited(mix, rng.choice((0, 0, 80, 150)), rng.choice((4000, 5000, 6000, 7500, 8000)))
    mix *= 10 ** (rng.uniform(-8, 3) / 20)
    peak = float(np.abs(mix).max())
    if peak > 0.98:
        mix *= 0.98 / peak
    return Clip(mix, tuple(spans), tuple(_timbre(*part) for part in parts), above)


def _above(mix: np.ndarray, at: int, part: np.ndarray, spans: tuple[Span, ...]) -> float:
    """How far a part that begins ``at`` a sample of the mix lies above the rest of it in its spans, dB."""
    own = np.zeros_like(mix)
    own[at : at + len(part)] = part
    pieces = [slice(round(start * RATE), round(end * RATE)) for start, end in spans]
    energy, rest = (sum(float((wave[piece] ** 2).sum()) for piece in pieces) for wave in (own, mix - own))
    return 10 * float(np.log10((energy + 1e-9) / (rest + 1e-9)))


def _timbre(part: np.ndarray, inside: list[Span]) -> Timbre:
    (start, end), *_ = inside
    return measure_timbre(part[round(start * RATE) : round(end * RATE)])


def _at_level(wave: np.ndarray, level: float) -> np.ndarray:
    return wave * np.float32(10 ** ((level - loudness(wave)) / 20))


def _event(
    event: Event,
    scene: Scene,
    lexicon: Lexicon,
    wave: np.ndarray,
    rng: random.Random,
    noise: np.random.Generator,
    seconds: float,
    augmentation: Augmentation,
) -> tuple[np.ndarray, list[Span]]:
    """The event alone, at its level in its room, and when its occurrences are within it."""
    share = seconds / max(1, len(scene.events))
    wave = coloured(wave, augmentation.colour, noise)
    wave = pitched(wave, rng.uniform(-augmentation.semitones, augmentation.semitones))
    if lexicon.sounds[event.sound].shape == "long":
        least, most = LONG_SECONDS
        length = rng.uniform(least, most) if len(scene.events) > 1 else rng.uniform(least, 0.9 * seconds)
        part = _lasting(wave, min(length, 0.85 * share if scene.layout == "sequence" else length, seconds), rng)
        inside = [(0.0, len(part) / RATE)]
    else:
        part, inside = _repeated(wave, event.times, 0.85 * share, rng)
    level = EVENT_LEVEL + LEVELS[event.loudness] + rng.uniform(-1.5, 1.5)
    part = _at_level(part, level)
    if event.loudness == "soft":
        part = band_limited(part, 0, rng.uniform(2500, 4500))
        return reverberated(part, rng.uniform(0.8, 1.6), rng.uniform(0.3, 0.55), noise), inside
    if rng.random() < 0.5:
        part = reverberated(part, rng.uniform(0.15, 0.8), rng.uniform(0.05, 0.3), noise)
    return part, inside


def _repeated(wave: np.ndarray, times: int, most: float, rng: random.Random) -> tuple[np.ndarray, list[Span]]:
    """``times`` occurrences of a short sound within ``most`` seconds, with a tail for the room's echo."""
    each = (most - REPEAT_GAP[0] * (times - 1)) / times
    pieces = occurrences(wave)
    longest = round(min(SHORT_SECONDS, each) * RATE)
    piece = faded(rng.choice(pieces)[:longest], fade_out=0.08)
    gap = min(rng.uniform(*REPEAT_GAP), (most - times * len(piece) / RATE) / max(1, times - 1) if times > 1 else 1.0)
    step = len(piece) + round(max(gap, 0.12) * RATE)
    out = np.zeros(step * (times - 1) + len(piece) + round(0.3 * RATE), np.float32)
    inside = []
    for number in range(times):
        again = pitched(piece, rng.uniform(-0.4, 0.4)) if number else piece
        at = number * step
        again = again[: len(out) - at]
        out[at : at + len(again)] += again * np.float32(rng.uniform(0.8, 1.0))
        inside.append((at / RATE, (at + len(piece)) / RATE))
    return out, inside


def _lasting(wave: np.ndarray, seconds: float, rng: random.Random) -> np.ndarray:
    """``seconds`` of a long sound: cut, or repeated with soft joints; strokes in even steps."""
    size = round(seconds * RATE)
    if len(wave) >= size:
        start = rng.randrange(len(wave) - size + 1)
        return faded(wave[start : start + size], 0.03, 0.25)
    if len(wave) < 0.7 * RATE:
        step = max(round(rng.uniform(*STEP_GAP) * RATE), len(wave) // 2)
        out = np.zeros(size + len(wave), np.float32)
        for at in range(0, size, step):
            jitter = min(size, max(0, at + round(rng.gauss(0, 0.015) * RATE)))
            stroke = pitched(wave, rng.uniform(-0.5, 0.5))[: len(wave)]
            out[jitter : jitter + len(stroke)] += stroke * np.float32(rng.uniform(0.75, 1.0))
        return faded(out[:size], 0.005, 0.1)
    if rng.random() < 0.5:
        return faded(wave, 0.01, 0.1)
    return faded(looped(wave, size), 0.02, 0.25)


def looped(wave: np.ndarray, size: int, joint: float = 0.1) -> np.ndarray:
    """``size`` samples of a wave repeated with cross-faded joints of ``joint`` seconds."""
    cross = min(round(joint * RATE), len(wave) // 3)
    if len(wave) >= size:
        return wave[:size]
    step = len(wave) - cross
    soft = faded(wave, cross / RATE, cross / RATE)
    out = np.zeros(size + len(wave), np.float32)
    for at in range(0, size, step):
        out[at : at + len(soft)] += soft
    return out[:size]


def _background(wave: np.ndarray, size: int, rng: random.Random, semitones: float) -> np.ndarray:
    """``size`` samples from anywhere in an endless repetition of the recording, higher or lower by some semitones."""
    wave = pitched(wave, rng.uniform(-semitones, semitones))
    if len(wave) > size:
        start = rng.randrange(len(wave) - size)
        return wave[start : start + size]
    joint = 0.25
    start = round(joint * RATE) + rng.randrange(len(wave))  # past the soft beginning
    return looped(wave, start + size, joint)[start:]


def _starts(lengths: list[float], scene: Scene, rng: random.Random, seconds: float) -> list[float]:
    """When each event begins, in the scene's order and layout."""
    if not lengths:
        return []
    if scene.layout == "sequence":
        free = seconds - sum(lengths)
        cuts = sorted(rng.uniform(0, max(free, 0.0)) for _ in lengths)
        return [cut + sum(lengths[:index]) for index, cut in enumerate(cuts)]
    # Together: each begins within the one before it, early enough for most of the shorter to overlap.
    starts = [rng.uniform(0, max(0.0, min(seconds - max(lengths), 3.0)))]
    for before, length in itertools.pairwise(lengths):
        latest = max(0.0, before - OVERLAP * min(before, length))
        starts.append(min(starts[-1] + rng.uniform(0, latest), max(starts[-1], seconds - length)))
    return starts
