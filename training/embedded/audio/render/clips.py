"""Scene and clip number n of a split, the same in every run."""

from __future__ import annotations

import random
from dataclasses import replace

from training.embedded.audio.annotation.precision import annotation_precision
from training.embedded.audio.annotation.timbre import Timbre
from training.embedded.audio.material.assets import Material
from training.embedded.audio.material.recordings import Split
from training.embedded.audio.render.render import SECONDS, Clip, render
from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.audio.world.sampler import sample_scene
from training.embedded.audio.world.scene import Event, Scene

SEEDS = {"train": 1_000, "train-short": 2_000_000, "test": 9_000_000, "seen": 5_000_000}
"""``test``: recordings from packages held out from training. ``seen``: new clips of trained-on recordings.
``train-short``: clips of half the length, which cost half as much to train on."""
SHORT_SECONDS = 5.0
STEADY = ("signal", "percussion", "music", "impact", "household")
"""Families whose harmonic sounds keep their pitch, as tones do."""
BACKGROUND_ALONE = 0.05
"""Share of scenes that are a background alone."""


def material_split(split: str) -> Split:
    return "test" if split == "test" else "train"


def clip_seconds(split: str) -> float:
    return SHORT_SECONDS if split == "train-short" else SECONDS


def draw(split: str, number: int, material: Material) -> tuple[Scene, Clip]:
    """Scene and clip ``number`` of a split; ``material`` must be that of ``material_split(split)``."""
    rng = random.Random(SEEDS[split] + number)
    lexicon, seconds = load_lexicon(), clip_seconds(split)
    most = 3 if seconds == SECONDS else 2
    scene = sample_scene(rng, lexicon, material.events, material.backgrounds, most_events=most)
    if scene.background is not None and rng.random() < BACKGROUND_ALONE:
        scene = Scene(scene.background, ())
    # A tune's tempo is that of the recording chosen for it.
    events, waves, chance = [], {}, random.Random(f"{SEEDS[split] + number}/told")
    for event in scene.events:
        recording, wave = material.draw(event.sound, rng)
        events.append(replace(event, tempo=recording.tempo, precision=annotation_precision(recording, chance)))
        waves[event.sound] = wave
    scene = replace(scene, events=tuple(events))

    def chosen(event: Event, _rng: random.Random):
        return waves[event.sound]

    clip = render(scene, lexicon, chosen, lambda background, rng: material.draw(background, rng)[1], rng, seconds)
    events = zip(scene.events, clip.timbres, strict=True)
    return replace(scene, events=tuple(replace(e, timbre=described(e.sound, measured)) for e, measured in events)), clip


def described(sound: str, measured: Timbre) -> Timbre:
    """The timbre as people describe it: a voice or a motor is harmonic too, but is not called a tone."""
    steady = load_lexicon().sounds[sound].family in STEADY
    return measured if steady else replace(measured, tone=min(measured.tone, 0))
