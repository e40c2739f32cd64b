"""Caption real photographs that nobody composited, and report what comes out, right or wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from lora_mcl.adapters import AdapterStack
from lora_mcl.decoding import ColumnRequest
from lora_mcl.models.llava_next import ImageLanguageModel
from training.embedded.common.comparison import MAX_NEW_TOKENS
from training.embedded.common.domain import PROMPT
from training.embedded.common.generation import generate
from training.embedded.common.reports import mean
from training.embedded.image.captions.parser import load_parser
from training.embedded.image.material.photos import RealPhoto, load_real


def test_photographs(root: Path) -> list[tuple[RealPhoto, Path]]:
    """The test photographs that are there, with their files."""
    photos = [(photo, root / "real" / photo.file) for photo in load_real() if photo.source.split == "test"]
    return [(photo, path) for photo, path in photos if path.is_file()]


def photograph_report(
    model: ImageLanguageModel,
    stack: AdapterStack,
    requests: Sequence[ColumnRequest],
    hypotheses: Sequence[str],
    root: Path,
) -> dict[str, Any]:
    """Every column's captions of every test photograph, and how often its things and place are named.

    ``named`` is the share of a photograph's labelled concepts that any hypothesis names; there is no
    comparison of counts, since nobody counted by hand beyond three.
    """
    photos = test_photographs(root)
    images = [Image.open(path) for _, path in photos]
    rows = list(generate(model, stack, requests, images, PROMPT, MAX_NEW_TOKENS))
    parser, entries = load_parser(), []
    for (photo, _), row in zip(photos, rows, strict=True):
        parsed = {name: [parser.parse(text) for text in row[name]] for name in (*hypotheses, "beam")}
        truth = {concept for concept, _ in photo.concepts}
        by_column = {name: {concept for one in found for concept, _ in one.things} for name, found in parsed.items()}
        hypothesis_things = set().union(*(by_column[name] for name in hypotheses))
        places = {parsed[name][0].place for name in hypotheses} - {None}
        entries.append(
            {
                "photograph": photo.source.id,
                "committed": photo.source.commit,
                "concepts": sorted(truth),
                "place": photo.place,
                "named": len(truth & hypothesis_things) / len(truth),
                "named_by_beam": len(truth & by_column["beam"]) / len(truth),
                "place_named": photo.place in places if photo.place else None,
                "captions": row,
            }
        )
    return {
        "photographs": len(entries),
        "named": mean(entry["named"] for entry in entries),
        "named_by_beam": mean(entry["named_by_beam"] for entry in entries),
        "place_named": mean(entry["place_named"] for entry in entries if entry["place_named"] is not None),
        "entries": entries,
    }
