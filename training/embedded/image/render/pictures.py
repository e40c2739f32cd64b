"""Scene and picture number n of a split, the same in every run."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

from PIL import Image, ImageEnhance

from training.embedded.image.material.assets import PACK_DIR, Material, Split
from training.embedded.image.material.photos import RealPhoto, load_real
from training.embedded.image.render.render import ASPECTS, SHORT_SIDE, render
from training.embedded.image.world.lexicon import load_lexicon
from training.embedded.image.world.sampler import sample_scene
from training.embedded.image.world.scene import MAX_COUNT, Scene, Thing
from training.paths import BUILD

SEEDS = {"train": 1_000, "test": 9_000_000, "seen": 5_000_000, "empty": 7_000_000, "photographs": 8_000_000}
"""``test``: drawings and photographs never trained on. ``seen``: new scenes of trained-on ones.
``empty``: pictures of trained-on places with nothing in them.
``photographs``: crops of the real photographs for training, each kind of thing as often as any other."""


def material_split(split: str) -> Split:
    return "test" if split == "test" else "train"


def draw(split: str, seed: int, material: Material, short_side: int = SHORT_SIDE) -> tuple[Scene, Image.Image]:
    """Scene and picture number ``seed`` of a split: always the same, at any size."""
    rng = random.Random(SEEDS[split] + seed)
    lexicon = load_lexicon()
    scene = sample_scene(rng, material.concepts, material.places)
    if split == "empty":
        scene = Scene(scene.place, ())
    image = render(
        scene,
        material.background(scene.place, rng),
        lambda concept: material.sprite(concept, rng),
        lambda concept: lexicon[concept].size,
        rng,
        aspects=ASPECTS,
        short_side=short_side,
    )
    return scene, image


def draw_photograph(seed: int, root: Path | None = None) -> tuple[Scene, Image.Image]:
    """Crop number ``seed`` of a real training photograph whose things can be counted: always the same.

    Args:
        root: holds them in ``real``; by default the full build, or, where that is not there, the committed pack.
    """
    if root is None:
        root = BUILD if (BUILD / "real").is_dir() else PACK_DIR
    rng = random.Random(SEEDS["photographs"] + seed)
    by_concept: dict[str, list[RealPhoto]] = defaultdict(list)
    for photo in load_real():
        countable = len(photo.concepts) == 1 and photo.concepts[0][1] <= MAX_COUNT
        if photo.source.split == "train" and countable and (root / "real" / photo.file).is_file():
            by_concept[photo.concepts[0][0]].append(photo)
    concept = rng.choice(sorted(by_concept))
    photo = rng.choice(by_concept[concept])
    image = Image.open(root / "real" / photo.file).convert("RGB")
    keep_width, keep_height = rng.uniform(0.75, 1.0), rng.uniform(0.75, 1.0)
    left, top = rng.uniform(0, 1 - keep_width) * image.width, rng.uniform(0, 1 - keep_height) * image.height
    box = (left, top, left + keep_width * image.width, top + keep_height * image.height)
    image = image.crop(tuple(round(edge) for edge in box))
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Color):
        image = enhance(image).enhance(rng.uniform(0.8, 1.2))
    return Scene(photo.place, (Thing(concept, photo.concepts[0][1]),)), image
