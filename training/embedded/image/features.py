"""Render scenes and cache what the frozen vision tower says of them.

The tower never trains, so each picture passes through it once. A shard is a folder with

- ``patches.npy``: ``[pictures, patches, channels]`` float16, the tower's output without the CLS token;
- ``items.json``: per scene its content, picture size, and its rows in ``patches.npy``;
- ``heads.npy``, of empty places alone: ``[pictures, G, G, C]`` float16, the head features a simulated
  photograph starts from.

Shards are seeded by their number and written atomically: an interrupted run goes on where it stopped.

    python -m training.embedded.image.features --shards 14 --per-shard 1000
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance
from tqdm import tqdm

from lora_mcl.models.llava_next import ImageLanguageModel, tower_features
from training.embedded.common.packages import BUILD_DIR
from training.embedded.image.material.assets import PACK_DIR, Material, Split, load_material
from training.embedded.image.material.photos import RealPhoto, load_real
from training.embedded.image.render.render import ASPECTS, SHORT_SIDE, render
from training.embedded.image.world.lexicon import load_lexicon
from training.embedded.image.world.sampler import sample_scene
from training.embedded.image.world.scene import MAX_COUNT, Scene, Thing

CACHE_DIR = BUILD_DIR / "image" / "features"
UNTRAINED_DIR = BUILD_DIR / "image" / "untrained"
SEEDS = {"train": 1_000, "test": 9_000_000, "seen": 5_000_000, "empty": 7_000_000, "photographs": 8_000_000}
"""``test``: drawings and photographs never trained on. ``seen``: new scenes of trained-on ones.
``empty``: square pictures of trained-on places with nothing in them.
``photographs``: crops of the real photographs for training, each kind of thing as often as any other."""
EXACT_SPLITS = ("test", "seen")
"""Measured in float32, as the app computes; training tolerates bfloat16, which is twice as fast."""
TOWER_BATCH = 4
"""Larger batches fall out of a core's cache and are slower."""


@dataclass(frozen=True)
class Item:
    """One cached picture: what it shows, ``(height, width)``, and its rows (base, then tile if different)."""

    scene: Scene
    image_size: tuple[int, int]
    rows: tuple[int, ...]


def draw_photograph(seed: int, root: Path | None = None) -> tuple[Scene, Image.Image]:
    """Crop number ``seed`` of a real training photograph whose things can be counted: always the same.

    Args:
        root: holds them in ``real``; by default the full build, or, where that is not there, the committed pack.
    """
    if root is None:
        root = BUILD_DIR if (BUILD_DIR / "real").is_dir() else PACK_DIR
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
        aspects=((1.0, 1.0),) if split == "empty" else ASPECTS,
        short_side=short_side,
    )
    return scene, image


def material_split(split: str) -> Split:
    return "test" if split == "test" else "train"


def encode_pictures(
    model: ImageLanguageModel, images: Sequence[Image.Image], exact: bool = True
) -> list[tuple[tuple[int, int], np.ndarray]]:
    """Tower output of each picture: its ``(height, width)`` and ``[1 or 2, patches, channels]`` float16.

    Computed in float32 if ``exact``, else in bfloat16.

    A square picture's base view and tile are the same picture; it is kept once.
    """
    views, layout = [], []
    for image in images:
        tiles = model.inputs(image, "")["pixel_values"][0]
        unique = tiles[:1] if torch.equal(tiles[0], tiles[1]) else tiles
        layout.append(((image.height, image.width), len(unique)))
        views.append(unique)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=not exact):
        features = torch.cat([tower_features(model.model, chunk) for chunk in torch.cat(views).split(TOWER_BATCH)])
    features = features.to(torch.float16).numpy()
    out, start = [], 0
    for size, count in layout:
        out.append((size, features[start : start + count]))
        start += count
    return out


def head_features(model: ImageLanguageModel, image: Image.Image) -> np.ndarray:
    """Head features ``[G, G, C]`` float16 of a picture's overview."""
    pixel_values = model.inputs(image, "")["pixel_values"][0][:1]
    with torch.inference_mode():
        return model.model.model.vision_tower.features(pixel_values)[0].to(torch.float16).numpy()


def write_shard(split: str, shard: int, per_shard: int) -> Path:
    """Render and encode one shard, unless it is there already; return its folder."""
    folder = CACHE_DIR / split / f"{shard:03d}"
    if folder.is_dir():
        return folder
    torch.set_num_threads(1)
    model = ImageLanguageModel.load(UNTRAINED_DIR)
    material = load_material(material_split(split))
    items, arrays, heads, row = [], [], [], 0
    for start in range(0, per_shard, TOWER_BATCH):
        drawn = [
            draw_photograph(shard * per_shard + index)
            if split == "photographs"
            else draw(split, shard * per_shard + index, material)
            for index in range(start, min(start + TOWER_BATCH, per_shard))
        ]
        images = [image for _, image in drawn]
        if split == "empty":
            heads += [head_features(model, image) for image in images]
        encoded = encode_pictures(model, images, exact=split in EXACT_SPLITS)
        for (scene, _), (size, features) in zip(drawn, encoded, strict=True):
            items.append(Item(scene, size, tuple(range(row, row + len(features)))))
            arrays.append(features)
            row += len(features)
    partial_folder = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    partial_folder.mkdir(parents=True)
    np.save(partial_folder / "patches.npy", np.concatenate(arrays))
    if heads:
        np.save(partial_folder / "heads.npy", np.stack(heads))
    (partial_folder / "items.json").write_text(json.dumps([asdict(item) for item in items]), encoding="utf-8")
    shutil.move(partial_folder, folder)
    return folder


def read_shard(folder: Path) -> tuple[list[Item], np.ndarray]:
    """Items and memory-mapped patches of one shard."""
    items = [
        Item(
            Scene(raw["scene"]["place"], tuple(Thing(**thing) for thing in raw["scene"]["things"])),
            tuple(raw["image_size"]),
            tuple(raw["rows"]),
        )
        for raw in json.loads((folder / "items.json").read_text(encoding="utf-8"))
    ]
    return items, np.load(folder / "patches.npy", mmap_mode="r")


def read_heads(folder: Path) -> np.ndarray:
    """Memory-mapped head features of one shard of empty places."""
    return np.load(folder / "heads.npy", mmap_mode="r")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=sorted(SEEDS), default="train")
    parser.add_argument("--shards", type=int, default=14)
    parser.add_argument("--per-shard", type=int, default=1000, help="scenes a shard")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    args = parser.parse_args()
    work = partial(_work, args.split, args.per_shard)
    with get_context("spawn").Pool(args.workers) as pool:
        list(tqdm(pool.imap_unordered(work, range(args.shards)), total=args.shards, unit="shard"))


def _work(split: str, per_shard: int, shard: int) -> None:
    write_shard(split, shard, per_shard)


if __name__ == "__main__":
    main()
