"""Examples of a split, from the source that the options name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lora_mcl.errors import OptionsError
from training.data.example import DataError, Example
from training.data.options import DataOptions, Kind, Split
from training.data.readers.folder import read_folder
from training.data.readers.hub import read_hub
from training.data.readers.published import read_audiocaps, read_clotho, read_coco
from training.data.readers.table import read_table

# Scenes are not read from files: training.train has them.
READERS: dict[Kind, Callable[[DataOptions], list[Example]]] = {
    "folder": read_folder,
    "table": read_table,
    "audiocaps": read_audiocaps,
    "clotho": read_clotho,
    "coco": read_coco,
    "hub": read_hub,
}


def load_examples(options: DataOptions, split: Split = "train") -> Sequence[Example]:
    """The examples of a split, always in the same order. Nothing is decoded yet.

    Raises:
        DataError: a path is missing, a table cannot be understood, more files are missing than allowed, or nothing is
            left.
        OptionsError: ``split`` is "validation" and the options name nothing to validate on.
    """
    if options.kind not in READERS:
        raise OptionsError(f"data of kind {options.kind} are not read from files")
    if split == "validation" and not options.validates:
        raise OptionsError("nothing to validate on: give validation_path, validation_split or validation_share")
    elsewhere = split == "validation" and not options.validation_share
    source = _validation_source(options) if elsewhere else options
    examples: Sequence[Example] = READERS[source.kind](source)
    if options.validation_share:
        examples = _split_by_share(examples, options.validation_share, split)
    if not examples:
        raise DataError(f"{options.path} holds nothing to {'train' if split == 'train' else 'validate'} on")
    return examples


def _validation_source(options: DataOptions) -> DataOptions:
    """The options of the validation data, where they are another source of the same kind."""
    if options.validation_path:
        return replace(
            options,
            path=options.validation_path,
            media=options.validation_media or options.media,
            validation_path="",
            validation_media="",
        )
    return replace(options, split=options.validation_split, validation_split="")


def _split_by_share(examples: Sequence[Example], share: float, split: Split) -> list[Example]:
    """The examples of a split, chosen by a hash of the media's name: media are in one split only, and other files that
    come or go move at most as many."""
    by_hash = sorted({example.name for example in examples}, key=_name_hash)
    kept = max(1, round(share * len(by_hash)))
    if kept >= len(by_hash):
        raise DataError(f"{len(by_hash)} media are too few to keep a share of {share} for validation")
    validation = set(by_hash[:kept])
    return [example for example in examples if (example.name in validation) == (split == "validation")]


def _name_hash(name: str) -> tuple[bytes, str]:
    """By the file's name alone, so that the folder may move; files of the same name are ordered by their folders."""
    return hashlib.sha256(Path(name).name.encode()).digest(), name
