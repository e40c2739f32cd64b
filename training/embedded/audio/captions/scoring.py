"""Scores of a caption against its scene: which of the parsed events, families and backgrounds are right."""

from __future__ import annotations

from dataclasses import dataclass

from training.embedded.audio.captions.parser import ParsedCaption, load_parser
from training.embedded.audio.world.lexicon import SILENCE, Lexicon, load_lexicon
from training.embedded.audio.world.moods import possible_moods
from training.embedded.audio.world.scene import Scene
from training.embedded.common.reports import ScoredCaption


@dataclass(frozen=True)
class Score:
    """Fractions in [0, 1] of one caption against one scene; None where the scene or the caption gives nothing to judge.

    Attributes:
        recall: of the scene's events, those the caption names; of a background alone, 1 if it names none.
        precision: of the events the caption names, those in the scene (0 where it names none).
        family_recall: of the families of the scene's events, those it names, vaguely or through an event.
        family_precision: of the families it names, those in the scene (0 where it names none).
        background_right: it names the scene's background, or that there is none. None where it does not say.
        count_right: of the short events named rightly, those whose number it has right.
        mood_right: the mood it names is that of one of the scene's sounds (``moods.possible_moods``).
        nothing_wrong: every event, family, background and mood it names is the scene's, and every timbre it gives to
            an unnamed sound fits one of them; it may leave some out. Number, order and loudness are not judged.
        informative: nothing is wrong, and it names a sound, a family or the background: a caption that names
            nothing is never wrong.
    """

    recall: float
    precision: float
    family_recall: float
    family_precision: float
    background_right: float | None
    count_right: float | None
    mood_right: float | None
    nothing_wrong: float
    informative: float


def score(lexicon: Lexicon, scene: Scene, parsed: ParsedCaption) -> Score:
    """Score one parsed caption; naming an event twice earns nothing more than naming it once."""
    truth = {event.sound: event.times for event in scene.events}
    named = {sound for sound, _ in parsed.events}
    found = named & truth.keys()
    families = {lexicon.sounds[sound].family for sound in truth}
    known = families & set(parsed.families)
    countable = {sound for sound in found if lexicon.sounds[sound].shape == "short"}
    miscounted = {sound for sound, times in parsed.events if times != truth.get(sound)}
    background_right = None if parsed.background is None else parsed.background == (scene.background or SILENCE)
    mood_right = None if parsed.mood is None else parsed.mood in possible_moods(lexicon, scene)
    nothing_wrong = (
        named <= truth.keys()
        and set(parsed.families) <= families
        and all(any(event.timbre and one.fits(event.timbre) for event in scene.events) for one in parsed.timbres)
        and background_right is not False
        and mood_right is not False
        and parsed.mode is not None
    )
    return Score(
        recall=len(found) / len(truth) if truth else float(not named),
        precision=len(found) / len(named) if named else float(not truth),
        family_recall=len(known) / len(families) if families else float(not parsed.families),
        family_precision=len(known) / len(parsed.families) if parsed.families else float(not families),
        background_right=None if background_right is None else float(background_right),
        count_right=len(countable - miscounted) / len(countable) if countable else None,
        mood_right=None if mood_right is None else float(mood_right),
        nothing_wrong=float(nothing_wrong),
        informative=float(nothing_wrong and bool(named or parsed.families or parsed.background)),
    )


def judge(scene: Scene, text: str) -> ScoredCaption:
    """A caption, parsed and scored."""
    parsed = load_parser().parse(text)
    return ScoredCaption(text, parsed.mode, score(load_lexicon(), scene, parsed))
