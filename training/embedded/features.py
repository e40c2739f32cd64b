"""Render scenes and cache the frozen tower's features of them.

The tower never trains, so each image or clip passes through it once. Shards are seeded by their number and written
atomically: an interrupted run goes on where it stopped.

    python -m training.embedded.features image --split train --shards 32 --per-shard 500
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from training.embedded.common.domain import Domain, load_domain, stage_parser
from training.embedded.common.shards import write

TOWER_BATCH = 4
"""Larger batches fall out of a core's cache and are slower."""


def write_shard(domain: Domain, split: str, shard: int, per_shard: int) -> Path:
    """Render and encode one shard, unless it is there already; return its folder."""
    folder = domain.features_dir / split / f"{shard:03d}"
    if folder.is_dir():
        return folder
    torch.set_num_threads(1)
    model = domain.architecture.model_class.load(domain.untrained_dir)
    material = domain.rendering.load_material(domain.rendering.material_split(split))
    items, arrays, rows = [], {"features": []}, 0
    for start in range(0, per_shard, TOWER_BATCH):
        numbers = range(start, min(start + TOWER_BATCH, per_shard))
        rendered = [domain.rendering.render(split, shard * per_shard + number, material) for number in numbers]
        inputs = [one for _, one in rendered]
        encoded = domain.rendering.encode(model, inputs, split in domain.rendering.exact_splits)
        for (item, _), features in zip(rendered, encoded, strict=True):
            items.append(replace(item, rows=tuple(range(rows, rows + len(features)))))
            rows += len(features)
            arrays["features"].append(features)
        for name, array in domain.rendering.extra_arrays(split, model, inputs).items():
            arrays.setdefault(name, []).append(array)
    write(domain, folder, items, {name: np.concatenate(parts) for name, parts in arrays.items()})
    return folder


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--split", default="train", help="an unknown one lists those there are")
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument("--per-shard", type=int, default=500, help="scenes a shard")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    args = parser.parse_args()
    domain = load_domain(args.domain)
    if args.split not in domain.rendering.splits:
        parser.error(f"there is no split {args.split!r}; choose one of {', '.join(domain.rendering.splits)}")
    work = partial(_work, domain.name, args.split, args.per_shard)
    with get_context("spawn").Pool(args.workers) as pool:
        list(tqdm(pool.imap_unordered(work, range(args.shards)), total=args.shards, unit="shard"))


def _work(name: str, split: str, per_shard: int, shard: int) -> None:
    write_shard(load_domain(name), split, shard, per_shard)


if __name__ == "__main__":
    main()
