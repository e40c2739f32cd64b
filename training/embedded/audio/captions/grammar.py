"""Captions of a scene by three annotators (the *modes*), who differ in language and in what they describe.

- ``en-events``: English, which events occur, in which order and how often: "A dog barks twice while rain falls."
- ``en-scene``: English, where it seems to be and what mood it has: "A calm scene by a stream, filled with bird calls."
- ``fr-events``: the same as ``en-events``, in French: "Un chien aboie deux fois pendant que la pluie tombe."

Every caption is true of its scene and grammatical; ``parser.py`` is the inverse.
"""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass, replace

from training.embedded.audio.annotation.timbre import timbre_clause
from training.embedded.audio.captions import english, french
from training.embedded.audio.world.lexicon import SILENCE, Clause, Lexicon, load_lexicon
from training.embedded.audio.world.moods import MOOD_WORDS, scene_mood
from training.embedded.audio.world.scene import Event, Scene

MODES = ("en-events", "en-scene", "fr-events")
LOUDNESS_MENTIONED = 0.6
BACKGROUND_MENTIONED = 0.85

LEFT_OUT = 0.5
"""How often a sound that cannot be recognised is left out where the caption names others."""

_LETTERS = "abc"


def sentence(text: str) -> str:
    """``text`` with a capital first letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


@dataclass(frozen=True)
class Grammar:
    """The annotators over one lexicon."""

    lexicon: Lexicon

    def caption(self, scene: Scene, mode: str, rng: random.Random, template: int | None = None) -> str:
        """One caption of ``scene`` in ``mode``; ``template`` picks one paraphrase instead of a random one.

        Raises KeyError for a sound outside the tables, ValueError for an unknown mode or an empty scene.
        """
        if mode not in MODES:
            raise ValueError(f"unknown mode {mode!r}; choose one of {', '.join(MODES)}")
        if not scene.events and scene.background is None:
            raise ValueError("the scene has neither events nor a background")
        if mode == "en-scene":
            return sentence(self._impression(scene, rng, template))
        return sentence(self._events(scene, english if mode == "en-events" else french, rng, template))

    def _events(self, scene: Scene, language, rng: random.Random, template: int | None) -> str:
        background = None
        if scene.background is not None:
            background = _clause(language, self.lexicon.sounds[scene.background].clause)
        if not scene.events:
            return _pick(language.BACKGROUND_ALONE, rng, template).format(background=background)
        events = self._mentioned(scene, rng)
        phrases = dict(zip(_LETTERS, (self._event(*one, language, rng) for one in events), strict=False))
        layout = scene.layout if len(events) > 1 else "sequence"
        pattern = _pick(language.EVENT_TEMPLATES[layout, len(events)], rng, template)
        main = pattern.format(**phrases)
        if background is not None and rng.random() < BACKGROUND_MENTIONED:
            return rng.choice(language.BACKGROUNDS).format(main=main, background=background)
        return main

    def _mentioned(self, scene: Scene, rng: random.Random) -> list[tuple[Event, Clause]]:
        """The events that the caption mentions, at least one, and the clause for each: no two share one."""
        mentioned: list[tuple[Event, Clause]] = []
        for left, event in zip(reversed(range(len(scene.events))), scene.events, strict=True):
            clauses = self._clauses(event)
            free = [clause for clause in clauses if all(clause != other for _, other in mentioned)]
            omitted = len(clauses) == 1 < len(scene.events) and event.precision == "timbre" and rng.random() < LEFT_OUT
            if free and not (omitted and (mentioned or left)):
                mentioned.append((event, free[0]))
        return mentioned

    def _clauses(self, event: Event) -> list[Clause]:
        """The clauses that describe an event, the most precise first."""
        sound = self.lexicon.sounds[event.sound]
        unknown = [] if event.timbre is None else [timbre_clause(event.timbre)]
        if event.precision == "sound":
            return [sound.clause]
        family = self.lexicon.families[sound.family].clause if event.precision == "family" else None
        return ([] if family is None else [family]) + unknown or [sound.clause]

    def _event(self, event: Event, clause: Clause, language, rng: random.Random):
        sound = self.lexicon.sounds[event.sound]
        named = clause in (sound.clause, self.lexicon.families[sound.family].clause)  # else nothing plays a tune
        tunes = language.RHYTHMS if sound.family == "percussion" else language.TUNES
        words = language.LOUDNESS_WORDS[event.loudness]
        return _clause(
            language,
            clause,
            tune=tunes[event.tempo] if named and event.tempo is not None else "",
            times=event.times,
            loudness=rng.choice(words) if words and rng.random() < LOUDNESS_MENTIONED else "",
        )

    def _impression(self, scene: Scene, rng: random.Random, template: int | None) -> str:
        events = [event for event in scene.events if event.precision == "sound" or event.tempo is not None]
        mood = rng.choice(MOOD_WORDS[scene_mood(self.lexicon, replace(scene, events=tuple(events), layout="sequence"))])
        place = self.lexicon.places[scene.background or SILENCE]
        known = [event for event in scene.events if event.precision != "timbre"]
        families = dict.fromkeys(self.lexicon.sounds[event.sound].family for event in known)
        foreground = english.join_en([self.lexicon.families[family].sounds for family in families])
        unknown = english.UNKNOWN_FOREGROUND if scene.events else english.NO_FOREGROUND
        return _pick(english.SCENE_TEMPLATES, rng, template).format(
            mood=mood,
            a_mood=f"{english.article_en(mood)} {mood}",
            place=rng.choice((place.en, place.en_alt)),
            foreground=foreground or unknown,
            texture=rng.choice(english.TEXTURES[texture(scene)]),
        )


def texture(scene: Scene) -> str:
    """How a scene's sounds follow one another, as ``english.TEXTURES`` names it."""
    if not scene.events:
        return "none"
    if len(scene.events) > 1:
        return scene.layout
    return "repeated" if scene.events[0].times > 1 else "single"


def _clause(language, clause: Clause, **adverbs):
    return language.clause_en(clause, **adverbs) if language is english else language.clause_fr(clause, **adverbs)


def _pick(templates: tuple[str, ...], rng: random.Random, template: int | None) -> str:
    return rng.choice(templates) if template is None else templates[template]


@functools.cache
def load_grammar() -> Grammar:
    """The annotators over the project's own tables."""
    return Grammar(load_lexicon())


def caption(scene: Scene, mode: str, rng: random.Random) -> str:
    """``Grammar.caption`` over the project's own tables."""
    return load_grammar().caption(scene, mode, rng)
