"""Synthetic sounds: sirens, alarms, telephones, beeps, and the sea from filtered noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from training.embedded.audio.material.recordings import Recording
from training.embedded.audio.render.dsp import RATE
from training.embedded.audio.render.effects import band_limited

VARIANTS = 8
COMMITTED = 3


def _phase(frequency: np.ndarray) -> np.ndarray:
    return 2 * np.pi * np.cumsum(frequency) / RATE


def _time(seconds: float) -> np.ndarray:
    return np.arange(round(seconds * RATE)) / RATE


def siren(rng: np.random.Generator) -> np.ndarray:
    """A wail (slow sweep), a yelp (fast sweep) or two alternating tones, with overtones."""
    time = _time(6.0)
    kind = rng.integers(3)
    if kind == 2:
        low = rng.uniform(400, 550)
        frequency = np.where((time * rng.uniform(0.8, 1.6)) % 1 < 0.5, low, low * 4 / 3)
    else:
        rate = rng.uniform(0.2, 0.45) if kind == 0 else rng.uniform(2, 4)
        middle, depth = rng.uniform(800, 1000), rng.uniform(250, 400)
        frequency = middle + depth * np.sin(2 * np.pi * rate * time)
    phase = _phase(frequency)
    return sum(np.sin(n * phase) / n**1.3 for n in (1, 2, 3, 4))


def alarm(rng: np.random.Generator) -> np.ndarray:
    """Bursts of three or four high beeps, as alarm clocks and smoke detectors give."""
    frequency, beeps = rng.uniform(1800, 3200), int(rng.integers(3, 5))
    beep, pause, rest = rng.uniform(0.07, 0.14), rng.uniform(0.05, 0.1), rng.uniform(0.35, 0.7)
    time = _time(5.0)
    inside = time % (beeps * (beep + pause) + rest)
    on = (inside < beeps * (beep + pause)) & (inside % (beep + pause) < beep)
    return on * np.sign(np.sin(2 * np.pi * frequency * time)) * 0.5 + on * np.sin(2 * np.pi * frequency * time)


def phone(rng: np.random.Generator) -> np.ndarray:
    """One ring: two tones in quick alternation, or a bell struck twenty-odd times a second."""
    time = _time(rng.uniform(0.9, 1.6))
    low, rate = rng.uniform(600, 1400), rng.uniform(14, 25)
    if rng.random() < 0.5:
        return np.sin(_phase(np.where((time * rate) % 1 < 0.5, low, low * rng.uniform(1.15, 1.35))))
    stroke = np.exp(-10 * ((time * rate) % 1) / rate)
    return stroke * sum(np.sin(2 * np.pi * low * n * time) / n for n in (1, 2.4, 3.9))


def beep(rng: np.random.Generator) -> np.ndarray:
    """One short steady tone."""
    time = _time(rng.uniform(0.12, 0.45))
    return np.sin(2 * np.pi * rng.uniform(500, 2200) * time) + rng.uniform(0, 0.3) * np.sin(
        2 * np.pi * 3 * rng.uniform(500, 900) * time
    )


def sea(rng: np.random.Generator) -> np.ndarray:
    """Waves: noise that swells, breaks brightly and draws back."""
    time = _time(12.0)
    noise = rng.standard_normal(len(time)).astype(np.float32)
    period = rng.uniform(3.5, 6)
    place = ((time + rng.uniform(0, period)) / period) % 1
    swell = np.where(place < 0.6, (place / 0.6) ** 2, np.exp(-4 * (place - 0.6) / 0.4))
    return band_limited(noise, 60, 700) * (0.3 + swell) + band_limited(noise, 700, 5000) * swell**1.5


TONES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "siren": siren,
    "alarm": alarm,
    "phone": phone,
    "beep": beep,
    "sea": sea,
}


def rendered() -> Iterator[tuple[Recording, np.ndarray]]:
    """``VARIANTS`` of each: always the same."""
    for number, (sound, make) in enumerate(TONES.items()):
        for variant in range(VARIANTS):
            recording = Recording(
                f"{sound}_tone_{variant + 1:02d}",
                sound,
                "computed",
                "",
                "CC0-1.0",
                "The LoRA-MCL Studio authors",
                variant < COMMITTED,
                "train",
            )
            yield recording, make(np.random.default_rng((number, variant))).astype(np.float32)
