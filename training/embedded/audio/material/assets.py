"""Recordings that scenes are mixed from, split into training and test."""

from __future__ import annotations

import functools
import logging
import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile

from training.embedded.audio.material.recordings import (
    ATTRIBUTION,
    INDEX,
    PACK_DIR,
    SOUNDS_DIR,
    Recording,
    Split,
    read_index,
)
from training.embedded.audio.world.lexicon import load_lexicon

logger = logging.getLogger(__name__)


class Material:
    """Recordings by sound, for one split.

    Args:
        split: ``train`` or ``test``; for no sound do the two share a package.
        root: the folder that holds ``<sound>/<id>.flac`` and ``index.csv`` (a full build), or ``<sound>/<id>.ogg``
            and ``ATTRIBUTION.csv`` (the committed pack).
    """

    def __init__(self, split: Split, root: Path) -> None:
        self.split = split
        self._files: dict[str, list[tuple[Recording, Path]]] = defaultdict(list)
        packed = (root / ATTRIBUTION).is_file()
        for recording in read_index(root / (ATTRIBUTION if packed else INDEX)):
            path = root / recording.sound / f"{recording.id}.{'ogg' if packed else 'flac'}"
            if recording.split == split and path.is_file():
                self._files[recording.sound].append((recording, path))

    @property
    def events(self) -> list[str]:
        """Ids of the sounds that can stand out."""
        return [sound for sound in load_lexicon().events if sound in self._files]

    @property
    def backgrounds(self) -> list[str]:
        return [sound for sound in load_lexicon().backgrounds if sound in self._files]

    def recordings(self, sound: str) -> list[Recording]:
        """The recordings of a sound, in the table's order."""
        return [recording for recording, _ in self._files[sound]]

    def wave(self, recording: Recording) -> np.ndarray:
        """The samples of one of them."""
        (path,) = (path for one, path in self._files[recording.sound] if one == recording)
        return _samples(path)

    def draw(self, sound: str, rng: random.Random) -> tuple[Recording, np.ndarray]:
        """A random recording of a sound and its samples, from a random one of its packages."""
        by_package: dict[str, list[tuple[Recording, Path]]] = defaultdict(list)
        for recording, path in self._files[sound]:
            by_package[recording.package].append((recording, path))
        recording, path = rng.choice(by_package[rng.choice(sorted(by_package))])
        return recording, _samples(path)


def load_material(split: Split) -> Material:
    """Material from the full build where it is there, else, with a warning, from the committed pack."""
    if (SOUNDS_DIR / INDEX).is_file():
        return Material(split, SOUNDS_DIR)
    logger.warning(
        "only the committed pack is used: run `python -m training.embedded.audio.material.sounds` to fetch the "
        "training-only packages too"
    )
    return Material(split, PACK_DIR)


@functools.lru_cache(maxsize=2048)
def _samples(path: Path) -> np.ndarray:
    wave, _ = soundfile.read(path, dtype="float32")
    return wave
