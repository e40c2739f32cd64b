"""Captions of a scene by three annotators (the *modes*), who differ in language and in what they tell.

- ``en-events``: English, what is heard, in which order and how often: "A dog barks twice while rain falls."
- ``en-scene``: English, where it seems to be and what mood it has: "A calm scene by a stream, filled with bird calls."
- ``fr-events``: what ``en-events`` tells, in French: "Un chien aboie deux fois pendant que la pluie tombe."

Every caption is true of its scene and grammatical; ``reader.py`` is the inverse.
"""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass

from training.audio import english, french
from training.audio.lexicon import SILENCE, UNKNOWN, VAGUE, Clause, Lexicon, load_lexicon
from training.audio.moods import MOOD_WORDS, scene_mood
from training.audio.scene import Event, Scene

MODES = ("en-events", "en-scene", "fr-events")
LOUDNESS_MENTIONED = 0.6
BACKGROUND_MENTIONED = 0.85

UNSURE = 0.3
"""How often a vague annotator does not even name the family."""

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
            raise ValueError("there is nothing to hear in the scene")
        if mode == "en-scene":
            return sentence(self._impression(scene, rng, template))
        return sentence(self._events(scene, english if mode == "en-events" else french, rng, template))

    def _events(self, scene: Scene, language, rng: random.Random, template: int | None) -> str:
        bed = None
        if scene.background is not None:
            bed = _clause(language, self.lexicon.sounds[scene.background].clause)
        if not scene.events:
            return _pick(language.ALONE, rng, template).format(bed=bed)
        clauses = self._clauses(scene, rng)
        events = zip(scene.events, clauses, strict=True)
        phrases = dict(zip(_LETTERS, (self._event(*one, language, rng) for one in events), strict=False))
        pattern = _pick(language.EVENT_TEMPLATES[scene.layout, len(scene.events)], rng, template)
        main = pattern.format(**phrases)
        if bed is not None and rng.random() < BACKGROUND_MENTIONED:
            return rng.choice(language.BACKGROUNDS).format(main=main, bed=bed)
        return main

    def _clauses(self, scene: Scene, rng: random.Random) -> list[Clause]:
        """The words for each event: its own, or vague ones, which no two events of a caption share."""
        clauses: list[Clause] = []
        for event in scene.events:
            sound = self.lexicon.sounds[event.sound]
            told = self.lexicon.families[UNKNOWN if rng.random() < UNSURE else sound.family].clause
            exact = rng.random() >= self.lexicon.vague.get(event.sound, VAGUE) or told in clauses
            clauses.append(sound.clause if exact or told is None else told)
        return clauses

    def _event(self, event: Event, clause: Clause, language, rng: random.Random):
        sound = self.lexicon.sounds[event.sound]
        tunes = language.RHYTHMS if sound.family == "percussion" else language.TUNES
        words = language.LOUDNESS_WORDS[event.loudness]
        return _clause(
            language,
            clause,
            tune=tunes[event.tempo] if event.tempo is not None else "",
            times=event.times,
            loudness=rng.choice(words) if words and rng.random() < LOUDNESS_MENTIONED else "",
        )

    def _impression(self, scene: Scene, rng: random.Random, template: int | None) -> str:
        mood = rng.choice(MOOD_WORDS[scene_mood(self.lexicon, scene)])
        setting = self.lexicon.settings[scene.background or SILENCE]
        families = dict.fromkeys(self.lexicon.sounds[event.sound].family for event in scene.events)
        foreground = english.join_en([self.lexicon.families[family].sounds for family in families])
        return _pick(english.SCENE_TEMPLATES, rng, template).format(
            mood=mood,
            a_mood=f"{english.article_en(mood)} {mood}",
            setting=rng.choice((setting.en, setting.en_alt)),
            foreground=foreground or english.NO_FOREGROUND,
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
