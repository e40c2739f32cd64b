"""Render clips and cache what the frozen audio tower says of them.

The tower never trains, so each clip passes through it once. A shard is a folder with

- ``tokens.npy``: ``[clips, positions, channels]`` float16, the tower's output;
- ``items.json``: per clip its scene, and when each event is heard;
- ``told.sha256``: of the table by which annotators tell recordings, which scenes hold.

Shards are seeded by their number and written atomically: an interrupted run goes on where it stopped.

    python -m training.embedded.audio.features --split train --shards 24 --per-shard 500
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from lora_mcl.models.qwen2_audio import AudioLanguageModel, tower_features
from training.embedded.audio.annotation.precision import TOLD_CSV
from training.embedded.audio.annotation.timbre import Character
from training.embedded.audio.material.assets import load_material
from training.embedded.audio.render.clips import SEEDS, draw, material_split
from training.embedded.audio.render.dsp import RATE
from training.embedded.audio.render.render import Span
from training.embedded.audio.world.scene import Event, Scene
from training.embedded.common.packages import BUILD_DIR

CACHE_DIR = BUILD_DIR / "audio" / "features"
UNTRAINED_DIR = BUILD_DIR / "audio" / "untrained"
EXACT_SPLITS = ("test", "seen")
"""Measured in float32, as the app computes; training tolerates bfloat16, which is faster."""
TOWER_BATCH = 4
TOLD_DIGEST = "told.sha256"


@dataclass(frozen=True)
class Item:
    """One cached clip: what it holds, and for each event its spans in seconds."""

    scene: Scene
    spans: tuple[tuple[Span, ...], ...]


def encode_clips(model: AudioLanguageModel, waves: Sequence[np.ndarray], exact: bool = True) -> np.ndarray:
    """Tower output of clips of one length: [clips, positions, channels] float16."""
    extractor = model.processor.feature_extractor
    inputs = extractor(list(waves), sampling_rate=RATE, return_attention_mask=True, return_tensors="pt")
    out = []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=not exact):
        for features, mask in zip(
            inputs["input_features"].split(TOWER_BATCH), inputs["attention_mask"].split(TOWER_BATCH), strict=True
        ):
            out.append(torch.stack(tower_features(model.model, features, mask)))
    return torch.cat(out).to(torch.float16).numpy()


def write_shard(split: str, shard: int, per_shard: int) -> Path:
    """Render and encode one shard, unless it is there already; return its folder."""
    folder = CACHE_DIR / split / f"{shard:03d}"
    if folder.is_dir():
        return folder
    torch.set_num_threads(1)
    model, material = AudioLanguageModel.load(UNTRAINED_DIR), load_material(material_split(split))
    items, arrays = [], []
    for start in range(0, per_shard, TOWER_BATCH):
        numbers = range(start, min(start + TOWER_BATCH, per_shard))
        drawn = [draw(split, shard * per_shard + number, material) for number in numbers]
        items += [Item(scene, clip.spans) for scene, clip in drawn]
        arrays.append(encode_clips(model, [clip.wave for _, clip in drawn], exact=split in EXACT_SPLITS))
    partial_folder = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    partial_folder.mkdir(parents=True)
    np.save(partial_folder / "tokens.npy", np.concatenate(arrays))
    (partial_folder / TOLD_DIGEST).write_text(told_digest(), encoding="utf-8")
    (partial_folder / "items.json").write_text(json.dumps([asdict(item) for item in items]), encoding="utf-8")
    shutil.move(partial_folder, folder)
    return folder


def told_digest() -> str:
    """Tells one version of ``told.csv`` from another."""
    return hashlib.sha256(TOLD_CSV.read_bytes()).hexdigest()


def read_shard(folder: Path) -> tuple[list[Item], np.ndarray]:
    """Items and memory-mapped tower output of one shard.

    Raises:
        ValueError: it was made with another ``told.csv``.
    """
    digest = folder / TOLD_DIGEST
    if not digest.is_file() or digest.read_text(encoding="utf-8") != told_digest():
        raise ValueError(
            f"{folder} was made with another {TOLD_CSV.name}: delete {folder.parent} and run `python -m "
            f"training.embedded.audio.features --split {folder.parent.name}` again"
        )
    items = [
        Item(
            Scene(
                raw["scene"]["background"],
                tuple(_read_event(event) for event in raw["scene"]["events"]),
                raw["scene"]["layout"],
            ),
            tuple(tuple((start, end) for start, end in spans) for spans in raw["spans"]),
        )
        for raw in json.loads((folder / "items.json").read_text(encoding="utf-8"))
    ]
    return items, np.load(folder / "tokens.npy", mmap_mode="r")


def _read_event(raw: dict[str, Any]) -> Event:
    return Event(**raw | {"character": None if raw["character"] is None else Character(**raw["character"])})


def shards(split: str, cache: Path | None = None) -> list[Path]:
    """The folders of a split's finished shards, in ``cache`` or where ``write_shard`` puts them."""
    return sorted(((cache or CACHE_DIR) / split).glob("[0-9][0-9][0-9]"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=sorted(SEEDS), default="train")
    parser.add_argument("--shards", type=int, default=24)
    parser.add_argument("--per-shard", type=int, default=500, help="clips a shard")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    args = parser.parse_args()
    work = partial(_work, args.split, args.per_shard)
    with get_context("spawn").Pool(args.workers) as pool:
        list(tqdm(pool.imap_unordered(work, range(args.shards)), total=args.shards, unit="shard"))


def _work(split: str, per_shard: int, shard: int) -> None:
    write_shard(split, shard, per_shard)


if __name__ == "__main__":
    main()
