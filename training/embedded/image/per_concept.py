"""Where captions go wrong: by how many things a scene shows, and by how many photographs a place was learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.embedded.common.reports import ScoredCaption, mean
from training.embedded.image.world.scene import Scene

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
