"""Scores of a caption against its scene: which of the parsed things, places and positions are right."""

from __future__ import annotations

from dataclasses import dataclass

from training.embedded.common.reports import ScoredCaption
from training.embedded.image.captions.parser import ParsedCaption, load_parser
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


def score(scene: Scene, parsed: ParsedCaption) -> Score:
    """Score one parsed caption; naming a concept twice earns nothing more than naming it once."""
    truth = {thing.concept: thing.count for thing in scene.things}
    named = {concept for concept, _ in parsed.things}
    found = named & truth.keys()
    miscounted = {concept for concept, count in parsed.things if count != truth.get(concept)}
    return Score(
        recall=len(found) / len(truth),
        precision=len(found) / len(named) if named else 0.0,
        place_right=parsed.place == scene.place,
        count_right=len(found - miscounted) / len(found) if found else None,
    )


def judge(scene: Scene, text: str) -> ScoredCaption:
    """A caption, parsed and scored."""
    parsed = load_parser().parse(text)
    return ScoredCaption(text, parsed.mode, score(scene, parsed))
