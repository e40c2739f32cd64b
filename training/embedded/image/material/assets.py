"""Cut-outs and photographs that scenes are made of, split into training and test."""

from __future__ import annotations

import csv
import logging
import random
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from PIL import Image

from training.embedded.image.material.sprites import load_sprites
from training.embedded.image.render.render import Background
from training.paths import ASSETS, BUILD

logger = logging.getLogger(__name__)

HERE = Path(__file__).resolve().parent
PACK_DIR = ASSETS / "packs" / "image"
PHOTOGRAPHIC_RENDERER = "tuxpaint"
PHOTOGRAPHIC_SHARE = 0.6
"""Where a concept has photographic cut-outs, this share of its appearances uses them."""

Split = Literal["train", "test"]


@dataclass(frozen=True)
class _Photo:
    path: Path
    horizon: float


class Material:
    """Cut-outs by concept and photographs by place, for one split.

    Args:
        split: ``train`` or ``test``; the two share no drawing and no photograph.
        root: a folder with ``sprites/<renderer>/<concept>.webp`` and ``photos/<place>/<id>.jpg``:
            ``build`` after a full fetch, or the committed pack.
    """

    def __init__(self, split: Split, root: Path) -> None:
        self.split = split
        self._sprites: dict[str, list[Path]] = defaultdict(list)
        for sprite in load_sprites():
            path = root / "sprites" / sprite.path
            if sprite.split == split and path.is_file():
                self._sprites[sprite.concept].append(path)
        self._photos: dict[str, list[_Photo]] = defaultdict(list)
        for row in _rows("photos.csv"):
            path = root / "photos" / row["place"] / f"{row['id']}.jpg"
            if row["split"] == split and path.is_file():
                self._photos[row["place"]].append(_Photo(path, float(row["horizon"])))

    @property
    def concepts(self) -> list[str]:
        return sorted(self._sprites)

    @property
    def places(self) -> list[str]:
        return sorted(self._photos)

    @property
    def photographs(self) -> dict[str, int]:
        """How many photographs of each place there are."""
        return {place: len(photos) for place, photos in self._photos.items()}

    def sprite(self, concept: str, rng: random.Random) -> Image.Image:
        """One RGBA cut-out of the concept."""
        paths = self._sprites[concept]
        photographic = [path for path in paths if path.parent.name == PHOTOGRAPHIC_RENDERER]
        if photographic and rng.random() < PHOTOGRAPHIC_SHARE:
            paths = photographic
        return open_rgba(rng.choice(paths))

    def background(self, place: str, rng: random.Random) -> Background:
        photo = rng.choice(self._photos[place])
        return Background(_open_rgb(photo.path), photo.horizon)


def load_material(split: Split) -> Material:
    """Material from the full build where it is there, else, with a warning, from the committed pack."""
    if (BUILD / "sprites").is_dir() and (BUILD / "photos").is_dir():
        return Material(split, BUILD)
    logger.warning(
        "only the committed pack is used: run `python -m training.embedded.image.material.sprites` and "
        "`python -m training.embedded.image.material.photos` to fetch the training-only packages too"
    )
    return Material(split, PACK_DIR)


def _rows(name: str) -> list[dict[str, str]]:
    with open(HERE / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@lru_cache(maxsize=2048)
def open_rgba(path: Path) -> Image.Image:
    """A cut-out, kept in memory."""
    return Image.open(path).convert("RGBA")


@lru_cache(maxsize=512)
def _open_rgb(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB")
