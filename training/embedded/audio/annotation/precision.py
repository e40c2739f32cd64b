"""How precisely annotators can tell a recording, as a listener would who has only heard others of its sound.

``told.csv`` is measured (``difficulty.py``). So the model learns to name what can be recognised, and to say of the rest
what family it is of or, failing that, only how it sounds.
"""

from __future__ import annotations

import csv
import functools
import random
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from training.embedded.audio.material.recordings import Recording, SoundError
from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.audio.world.scene import Told

TOLD_CSV = Path(__file__).with_name("told.csv")
UNMEASURED: dict[Told, float] = {"sound": 0.4, "family": 0.4, "character": 0.2}
"""How often a recording that cannot be judged, since too few packages have its sound, is told so."""


def read_told(path: Path = TOLD_CSV) -> Mapping[str, Told]:
    """How precisely each measured recording can be told, by its id.

    Raises:
        SoundError: on a value that is none of the three.
    """
    with path.open(encoding="utf-8", newline="") as opened:
        table = {row["recording"]: row["told"] for row in csv.DictReader(opened)}
    for recording, told in table.items():
        if told not in get_args(Told):
            raise SoundError(f"{path.name}: {recording!r} is told by its {told!r}, not by one of {get_args(Told)}")
    return table


@functools.cache
def _table() -> Mapping[str, Told]:
    return read_told()


def told(recording: Recording, rng: random.Random) -> Told:
    """How precisely ``recording`` is told this time; whatever plays or speaks, it is heard to be music or speech."""
    drawn = rng.choices(tuple(UNMEASURED), tuple(UNMEASURED.values()))[0]
    found = _table().get(recording.id, drawn)
    kind = load_lexicon().sounds[recording.sound].kind
    return "family" if found == "character" and kind in ("music", "speech") else found
