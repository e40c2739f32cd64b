"""Annotation precision: whether a caption names a recording's sound, only its family, or only its timbre.

The precision is that of a listener who only knows other recordings of the sound; ``precision.csv`` is measured by
``clip_difficulty.py``. So the model learns to name what can be recognised, and to describe the rest more vaguely.
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
from training.embedded.audio.world.scene import Precision

PRECISION_CSV = Path(__file__).with_name("precision.csv")
UNMEASURED: dict[Precision, float] = {"sound": 0.4, "family": 0.4, "timbre": 0.2}
"""How often each precision is drawn for a recording that cannot be judged, since too few packages have its sound."""


def read_precision(path: Path = PRECISION_CSV) -> Mapping[str, Precision]:
    """The precision of each measured recording, by its id.

    Raises:
        SoundError: a value is none of the three.
    """
    with path.open(encoding="utf-8", newline="") as opened:
        table = {row["recording"]: row["precision"] for row in csv.DictReader(opened)}
    for recording, precision in table.items():
        if precision not in get_args(Precision):
            raise SoundError(
                f"{path.name}: the precision of {recording!r} is {precision!r}, not one of {get_args(Precision)}"
            )
    return table


@functools.cache
def _table() -> Mapping[str, Precision]:
    return read_precision()


def annotation_precision(recording: Recording, rng: random.Random) -> Precision:
    """The precision of a recording in one clip; music and speech are always recognised as such."""
    drawn = rng.choices(tuple(UNMEASURED), tuple(UNMEASURED.values()))[0]
    found = _table().get(recording.id, drawn)
    kind = load_lexicon().sounds[recording.sound].kind
    return "family" if found == "timbre" and kind in ("music", "speech") else found
