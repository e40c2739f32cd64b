"""Clips with one sound on a background, and the tower's positions while it lasts."""

from __future__ import annotations

import random
from dataclasses import replace

import torch
from torch import Tensor

from training.embedded.audio.material.assets import Material
from training.embedded.audio.material.recordings import Recording
from training.embedded.audio.render.clips import SHORT_SECONDS
from training.embedded.audio.render.render import Clip, Span, render
from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.audio.world.sampler import sample_scene
from training.embedded.audio.world.scene import Scene

POSITION_SECONDS = 0.04
"""The tower gives one position for every 40 ms."""


def positions_in(spans: tuple[Span, ...], positions: int) -> Tensor:
    """[P] bool: the positions within the spans, one at least."""
    time = (torch.arange(positions) + 0.5) * POSITION_SECONDS
    mask = torch.zeros(positions, dtype=torch.bool)
    for start, end in spans:
        mask |= (time > start - POSITION_SECONDS) & (time < end + POSITION_SECONDS)
    return mask


def solo_clip(
    sound: str, material: Material, rng: random.Random, recording: Recording | None = None
) -> tuple[Scene, Clip]:
    """A scene with one event, ``sound``, on a background, and its clip; by default of a random recording."""
    scene = sample_scene(rng, load_lexicon(), [sound], material.backgrounds, most_events=1)
    if recording is None:
        recording, wave = material.draw(sound, rng)
    else:
        wave = material.wave(recording)
    scene = replace(scene, events=tuple(replace(event, tempo=recording.tempo) for event in scene.events))
    clip = render(
        scene,
        load_lexicon(),
        lambda _event, _rng: wave,
        lambda background, rng: material.draw(background, rng)[1],
        rng,
        SHORT_SECONDS,
    )
    return scene, clip
