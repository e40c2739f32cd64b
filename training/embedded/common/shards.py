"""Shards of cached tower features on disk.

A shard is a folder with

- ``features.npy``: [rows, P, D] float16, the tower's output, one row for each view;
- ``items.json``: of each input its scene, its size, and its rows in ``features.npy``;
- ``annotation.sha256``: of the tables that the scenes' captions depend on;
- further arrays that a domain caches (``Rendering.extra_arrays``).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from training.embedded.common.domain import Domain, Item

FEATURES, ITEMS, DIGEST = "features.npy", "items.json", "annotation.sha256"


def shard_folders(folder: Path, split: str) -> list[Path]:
    """The finished shards of a split."""
    return sorted((folder / split).glob("[0-9][0-9][0-9]"))


def write(domain: Domain, folder: Path, items: Sequence[Item], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a shard atomically: an interrupted run leaves no ``folder``.

    Args:
        arrays: by file name without its ending; ``features`` is one of them.
    """
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(partial / f"{name}.npy", array)
    (partial / DIGEST).write_text(annotation_digest(domain), encoding="utf-8")
    (partial / ITEMS).write_text(json.dumps([asdict(item) for item in items]), encoding="utf-8")
    shutil.move(partial, folder)


def read_shard(domain: Domain, folder: Path) -> list[Item]:
    """The items of a shard.

    Raises:
        ValueError: it was made with other annotation tables.
    """
    digest = folder / DIGEST
    if not digest.is_file() or digest.read_text(encoding="utf-8") != annotation_digest(domain):
        tables = ", ".join(file.name for file in domain.annotators.annotation_files) or "recipe"
        raise ValueError(
            f"{folder} was made with another {tables}: delete {folder.parent} and run `python -m "
            f"training.embedded.features {domain.name} --split {folder.parent.name}` again"
        )
    return [domain.rendering.read_item(raw) for raw in json.loads((folder / ITEMS).read_text(encoding="utf-8"))]


def annotation_digest(domain: Domain) -> str:
    """Hash of the annotation tables: it differs between versions."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in domain.annotators.annotation_files)).hexdigest()
