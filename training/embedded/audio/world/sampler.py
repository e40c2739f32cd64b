"""Draw random scenes: which background, which events, how often, how loud, one after another or together."""

from __future__ import annotations

import random
from collections.abc import Sequence

from training.embedded.audio.world.lexicon import Lexicon
from training.embedded.audio.world.scene import Event, Layout, Loudness, Scene

EVENT_COUNT_WEIGHTS = (0.42, 0.40, 0.18)
TIMES_WEIGHTS = (0.5, 0.28, 0.22)
LOUDNESS_WEIGHTS: dict[Loudness, float] = {"soft": 0.18, "normal": 0.62, "loud": 0.2}
SILENT = 0.3
"""Share of scenes without a background."""
TOGETHER = 0.45
MOST_PER_KIND = {"speech": 1, "music": 1}
"""Kinds of which a scene has one sound at most: two tunes or two voices at once cannot be distinguished."""
KIND_WEIGHTS = {"event": 0.68, "music": 0.2, "speech": 0.12}
"""Share of events of each kind; there are far fewer voices than noises to choose from."""


def sample_scene(
    rng: random.Random, lexicon: Lexicon, sounds: Sequence[str], backgrounds: Sequence[str], *, most_events: int = 3
) -> Scene:
    """Draw one scene of 1 to ``most_events`` of the given sounds, in front of one of the backgrounds or of silence.

    A background never lies under an event of its own family: rain would hide a drip, birdsong an owl. A tune's tempo is
    the recording's and is filled in when one is chosen.
    """
    count = rng.choices(range(1, most_events + 1), EVENT_COUNT_WEIGHTS[:most_events])[0]
    by_kind = {kind: [s for s in sounds if lexicon.sounds[s].kind == kind] for kind in KIND_WEIGHTS}
    chosen: list[str] = []
    while len(chosen) < count:
        kinds = [kind for kind, some in by_kind.items() if some]
        kind = rng.choices(kinds, [KIND_WEIGHTS[kind] for kind in kinds])[0]
        sound = rng.choice(by_kind[kind])
        of_kind = sum(lexicon.sounds[other].kind == kind for other in chosen)
        if sound not in chosen and of_kind < MOST_PER_KIND.get(kind, 3):
            chosen.append(sound)
    families = {lexicon.sounds[sound].family for sound in chosen}
    fitting = [sound for sound in backgrounds if lexicon.sounds[sound].family not in families]
    background = rng.choice(fitting) if fitting and rng.random() >= SILENT else None
    events = tuple(Event(sound, _times(rng, lexicon, sound, count), _loudness(rng)) for sound in chosen)
    layout: Layout = "together" if count > 1 and rng.random() < TOGETHER else "sequence"
    return Scene(background, events, layout)


def _times(rng: random.Random, lexicon: Lexicon, sound: str, events: int) -> int:
    if lexicon.sounds[sound].shape == "long":
        return 1
    return min(rng.choices((1, 2, 3), TIMES_WEIGHTS)[0], 3 if events < 3 else 2)


def _loudness(rng: random.Random) -> Loudness:
    return rng.choices(tuple(LOUDNESS_WEIGHTS), tuple(LOUDNESS_WEIGHTS.values()))[0]
