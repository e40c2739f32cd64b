"""How right a caption is about a scene, from its reading."""

from __future__ import annotations

from dataclasses import dataclass

from training.embedded.image.captions.reader import Reading
from training.embedded.image.world.scene import Scene


@dataclass(frozen=True)
class Score:
    """Fractions in [0, 1] of one caption against one scene.

    ``recall``: of the scene's concepts, those the caption names. ``precision``: of the concepts the caption
    names, those in the scene (0 where it names none). ``place_right``: it names the scene's place; False
    where it names none. ``count_right``: of the concepts named rightly, those whose every mention gives the
    scene's count; None where no concept is named rightly.
    """

    recall: float
    precision: float
    place_right: bool
    count_right: float | None


def score(scene: Scene, reading: Reading) -> Score:
    """Score one reading; naming a concept twice earns nothing more than naming it once."""
    truth = {thing.concept: thing.count for thing in scene.things}
    named = {concept for concept, _ in reading.things}
    found = named & truth.keys()
    miscounted = {concept for concept, count in reading.things if count != truth.get(concept)}
    return Score(
        recall=len(found) / len(truth),
        precision=len(found) / len(named) if named else 0.0,
        place_right=reading.place == scene.place,
        count_right=len(found - miscounted) / len(found) if found else None,
    )
