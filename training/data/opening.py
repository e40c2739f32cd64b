"""From options to examples, to train or to validate on."""

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

# Scenes are no files: training.run.scenes has them.
READERS: dict[Kind, Callable[[DataOptions], list[Example]]] = {
    "folder": read_folder,
    "table": read_table,
    "audiocaps": read_audiocaps,
    "clotho": read_clotho,
    "coco": read_coco,
    "hub": read_hub,
}


def open_examples(options: DataOptions, split: Split = "train") -> Sequence[Example]:
    """All examples to train or to validate on, in an order that is always the same. Nothing is decoded yet.

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
    source = _of_validation(options) if elsewhere else options
    examples: Sequence[Example] = READERS[source.kind](source)
    if options.validation_share:
        examples = _share(examples, options.validation_share, split)
    if not examples:
        raise DataError(f"{options.path} holds nothing to {'train' if split == 'train' else 'validate'} on")
    return examples


def _of_validation(options: DataOptions) -> DataOptions:
    if options.validation_path:
        return replace(
            options,
            path=options.validation_path,
            media=options.validation_media or options.media,
            validation_path="",
            validation_media="",
        )
    return replace(options, split=options.validation_split, validation_split="")


def _share(examples: Sequence[Example], share: float, split: Split) -> list[Example]:
    """The part of the examples that is the split's, by the medium's name: a medium is in one part only, whatever
    other files come or go."""
    by_name = sorted({example.name for example in examples}, key=_rank)
    kept = max(1, round(share * len(by_name)))
    if kept >= len(by_name):
        raise DataError(f"{len(by_name)} media are too few to keep a share of {share} for validation")
    chosen = set(by_name[:kept])
    return [example for example in examples if (example.name in chosen) == (split == "validation")]


def _rank(name: str) -> bytes:
    return hashlib.sha256(Path(name).name.encode()).digest()
