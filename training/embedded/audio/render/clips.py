"""Scene and clip number n of a split, the same in every run."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np

from training.embedded.audio.annotation.precision import annotation_precision
from training.embedded.audio.annotation.timbre import Timbre
from training.embedded.audio.material.assets import Material
from training.embedded.audio.material.recordings import Split
from training.embedded.audio.render.dsp import loudness
from training.embedded.audio.render.render import SECONDS, Augmentation, Clip, looped, render
from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.audio.world.sampler import sample_scene
from training.embedded.audio.world.scene import Event, Scene

SEEDS = {
    "train": 1_000,
    "train-short": 2_000_000,
    "augmented": 3_000_000,
    "augmented-short": 4_000_000,
    "seen": 5_000_000,
    "test": 9_000_000,
}
"""``test``: recordings from packages held out from training. ``seen``: new clips of trained-on recordings.
``augmented``: clips whose sounds are further from their recordings. ``-short``: clips of half the length, which cost
half as much to train on."""
SHORT_SECONDS = 5.0
AUGMENTATION = {True: Augmentation(semitones=4.0, colour=5.0, noise=(-75.0, -42.0)), False: Augmentation()}
LAYERED = 0.4
"""In augmented clips, the share of long sounds that are two recordings of the sound at once."""
LAYER_BELOW = (0.0, 8.0)
"""The second lies so many dB below the first."""
AUDIBLE = -9.0
"""In augmented clips, captions leave out an event that lies further below all the rest, dB."""
STEADY = ("signal", "percussion", "music", "impact", "household")
"""Families whose harmonic sounds keep their pitch, as tones do."""
BACKGROUND_ALONE = 0.05
"""Share of scenes that are a background alone."""


def material_split(split: str) -> Split:
    return "test" if split == "test" else "train"


def clip_seconds(split: str) -> float:
    return SHORT_SECONDS if split.endswith("-short") else SECONDS


def draw(split: str, number: int, material: Material) -> tuple[Scene, Clip]:
    """Scene and clip ``number`` of a split; ``material`` must be that of ``material_split(split)``."""
    rng = random.Random(SEEDS[split] + number)
    lexicon, seconds, augmented = load_lexicon(), clip_seconds(split), split.startswith("augmented")
    most = 3 if seconds == SECONDS else 2
    scene = sample_scene(rng, lexicon, material.events, material.backgrounds, most_events=most)
    if scene.background is not None and rng.random() < BACKGROUND_ALONE:
        scene = Scene(scene.background, ())
    # A tune's tempo is that of the recording chosen for it.
    events, waves, chance = [], {}, random.Random(f"{SEEDS[split] + number}/told")
    for event in scene.events:
        recording, wave = material.draw(event.sound, rng)
        events.append(replace(event, tempo=recording.tempo, precision=annotation_precision(recording, chance)))
        if augmented and lexicon.sounds[event.sound].shape == "long" and rng.random() < LAYERED:
            wave = layered(wave, material.draw(event.sound, rng)[1], rng)
        waves[event.sound] = wave
    scene = replace(scene, events=tuple(events))

    def chosen(event: Event, _rng: random.Random):
        return waves[event.sound]

    def background(sound: str, rng: random.Random):
        return material.draw(sound, rng)[1]

    clip = render(scene, lexicon, chosen, background, rng, seconds, AUGMENTATION[augmented])
    timbres = (described(event.sound, timbre) for event, timbre in zip(scene.events, clip.timbres, strict=True))
    events = tuple(replace(event, timbre=timbre) for event, timbre in zip(scene.events, timbres, strict=True))
    scene = replace(scene, events=events)
    return audible(scene, clip) if augmented else (scene, clip)


def layered(wave: np.ndarray, other: np.ndarray, rng: random.Random) -> np.ndarray:
    """Two recordings of a sound at once, as long as the first, the other one softer."""
    decibels = loudness(wave) - loudness(other) - rng.uniform(*LAYER_BELOW)
    return wave + np.float32(10 ** (decibels / 20)) * looped(other, len(wave))


def audible(scene: Scene, clip: Clip) -> tuple[Scene, Clip]:
    """Without the events that are lost in the rest; the loudest one stays."""
    loudest = max(clip.above, default=0.0)
    kept = [above >= min(AUDIBLE, loudest) for above in clip.above]
    events, spans, timbres, above = (
        tuple(one for one, keep in zip(some, kept, strict=True) if keep)
        for some in (scene.events, clip.spans, clip.timbres, clip.above)
    )
    layout = scene.layout if len(events) > 1 else "sequence"
    return replace(scene, events=events, layout=layout), Clip(clip.samples, spans, timbres, above)


def described(sound: str, measured: Timbre) -> Timbre:
    """The timbre as people describe it: a voice or a motor is harmonic too, but is not called a tone."""
    steady = load_lexicon().sounds[sound].family in STEADY
    return measured if steady else replace(measured, tone=min(measured.tone, 0))
