"""Draw random scenes: which things, how many, how large, where, in which place."""

from __future__ import annotations

import random
from collections.abc import Sequence

from training.embedded.image.world.scene import (
    SLOTS,
    Scene,
    Size,
    Slot,
    Thing,
)

KINDS_WEIGHTS = (0.42, 0.38, 0.20)
COUNT_WEIGHTS = (0.60, 0.24, 0.16)
MAX_COPIES = 4
"""More copies than this in one picture leaves too few pixels for each."""


def sample_scene(rng: random.Random, concepts: Sequence[str], places: Sequence[str]) -> Scene:
    """Draw one scene with 1-3 kinds of things; large things come alone or in twos."""
    kinds = rng.choices((1, 2, 3), KINDS_WEIGHTS)[0]
    slots: list[Slot] = sorted(rng.sample(SLOTS, kinds), key=SLOTS.index)
    things: list[Thing] = []
    for concept, slot in zip(rng.sample(concepts, kinds), slots, strict=True):
        room = MAX_COPIES - sum(thing.count for thing in things) - (kinds - len(things) - 1)
        count = min(rng.choices((1, 2, 3), COUNT_WEIGHTS)[0], room)
        things.append(Thing(concept, count, _sample_size(rng, count), slot))
    return Scene(rng.choice(places), tuple(things))


def _sample_size(rng: random.Random, count: int) -> Size:
    draw = rng.random()
    if draw < 0.18:
        return "small"
    if draw < 0.36 and count == 1:
        return "large"
    return "normal"
