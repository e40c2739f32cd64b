"""Measures of the image model alone: by number of things, by photographs of the place, on real photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lora_mcl.adapters import AdapterStack
from lora_mcl.decoding import ColumnRequest
from lora_mcl.models.llava_next import ImageLanguageModel
from training.embedded.common.comparison import GATE, RELAXED
from training.embedded.common.domain import Item
from training.embedded.common.reports import ScoredCaption, mean
from training.embedded.image.captions.scoring import judge
from training.embedded.image.material.assets import PACK_DIR, load_material
from training.embedded.image.real_photos import photograph_report
from training.embedded.image.world.scene import Scene
from training.paths import BUILD

MANY_PHOTOGRAPHS = 4


def by_kinds(scenes: Sequence[Scene], sets: Sequence[Sequence[ScoredCaption]]) -> list[dict[str, Any]]:
    """Recall and precision of the best of each scene's captions, for scenes of 1, 2 and 3 kinds of things."""
    best: dict[int, list[ScoredCaption]] = {}
    for scene, captions in zip(scenes, sets, strict=True):
        best.setdefault(len(scene.things), []).append(max(captions, key=lambda caption: caption.f1))
    return [
        {
            "kinds": kinds,
            "scenes": len(best[kinds]),
            "recall": mean(caption.score.recall for caption in best[kinds]),
            "precision": mean(caption.score.precision for caption in best[kinds]),
        }
        for kinds in sorted(best)
    ]


def by_photographs(
    scenes: Sequence[Scene], sets: Sequence[Sequence[ScoredCaption]], photographs: Mapping[str, int]
) -> list[dict[str, Any]]:
    """How often some caption has the place right, for places learned from 1, 2, 3, and 4 or more photographs."""
    right: dict[int, list[bool]] = {}
    places: dict[int, set[str]] = {}
    for scene, captions in zip(scenes, sets, strict=True):
        number = min(photographs[scene.place], MANY_PHOTOGRAPHS)
        right.setdefault(number, []).append(any(caption.score.place_right for caption in captions))
        places.setdefault(number, set()).add(scene.place)
    return [
        {
            "photographs": f"{number} or more" if number == MANY_PHOTOGRAPHS else str(number),
            "places": len(places[number]),
            "scenes": len(right[number]),
            "place_right": mean(right[number]),
        }
        for number in sorted(right)
    ]


def split_measures(
    items: Sequence[Item], scenes: Sequence[Scene], rows: Sequence[Mapping[str, list[str]]]
) -> dict[str, Any]:
    """Where the hypotheses' captions of a split go wrong (``Reporting.split_measures``)."""
    sets = [[judge(scene, row[name][0]) for name in GATE] for scene, row in zip(scenes, rows, strict=True)]
    return {
        "scenes": len(items),
        "kinds": by_kinds(scenes, sets),
        "photographs_of_the_place": by_photographs(scenes, sets, load_material("train").photographs),
    }


def photograph_measures(
    model: ImageLanguageModel, stack: AdapterStack, requests: Sequence[ColumnRequest]
) -> dict[str, Any]:
    """The captions of real photographs and their scores; without a full build, of the committed photographs only."""
    shown = [request for request in requests if request.id not in RELAXED]
    root = BUILD if (BUILD / "real").is_dir() else PACK_DIR
    return {"photographs": photograph_report(model, stack, shown, GATE, root)}
