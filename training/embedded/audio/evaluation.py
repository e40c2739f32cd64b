"""Measures of the audio model alone: how often each sound is named, and how the annotators' own captions score."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from training.embedded.audio.captions.grammar import MODES, caption
from training.embedded.audio.captions.parser import load_parser
from training.embedded.audio.captions.scoring import judge
from training.embedded.audio.world.scene import Scene
from training.embedded.common.comparison import GATE
from training.embedded.common.domain import Item
from training.embedded.common.reports import hypothesis_report, mean

EMPTY = ("Something makes a sound.",)
"""Captions that name nothing, whose scores a model must beat."""


def annotator_scores(items: Sequence[Item]) -> dict[str, Any]:
    """How the annotators' own captions score, by mode, and captions that name nothing."""

    def report(mode: str, texts: Iterable[str]) -> dict[str, float | None]:
        return hypothesis_report([judge(item.scene, text) for item, text in zip(items, texts, strict=True)], mode)

    annotators = {
        mode: report(
            mode,
            (caption(item.scene, mode, random.Random(f"test/{n}/{mode}")) for n, item in enumerate(items)),
        )
        for mode in MODES
    }
    return {"annotators": annotators, "empty": {text: report(MODES[0], [text] * len(items)) for text in EMPTY}}


def by_sound(
    rows: Sequence[Mapping[str, list[str]]], scenes: Sequence[Scene], columns: Sequence[str]
) -> dict[str, Any]:
    """For each sound, in how many clips it was an event and how often one of the columns names it."""
    parser, named, total = load_parser(), {}, {}
    for row, scene in zip(rows, scenes, strict=True):
        found = {sound for column in columns for text in row[column] for sound, _ in parser.parse(text).events}
        for event in scene.events:
            total[event.sound] = total.get(event.sound, 0) + 1
            named[event.sound] = named.get(event.sound, 0) + (event.sound in found)
    return {sound: {"clips": total[sound], "named": mean([named[sound] / total[sound]])} for sound in sorted(total)}


def repetitions(rows: Sequence[Mapping[str, list[str]]], columns: Sequence[str]) -> dict[str, float | None]:
    """Of each column's captions, the share that state the same clause twice ("a dog barks, then a dog barks")."""
    parser = load_parser()
    return {
        column: mean([float(parser.parse(text).repeated) for row in rows for text in row[column]]) for column in columns
    }


def split_measures(
    items: Sequence[Item], scenes: Sequence[Scene], rows: Sequence[Mapping[str, list[str]]]
) -> dict[str, Any]:
    """Measures of one split (``Reporting.split_measures``)."""
    return {
        "clips": len(items),
        "reference_scores": annotator_scores(items),
        "sounds": by_sound(rows, scenes, GATE),
        "repetitions": repetitions(rows, tuple(rows[0])),
    }
