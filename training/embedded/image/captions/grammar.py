"""Captions of a scene by three annotators (the *modes*), who differ in language and in what they describe.

- ``en-objects``: English, what there is and how many, nothing else: "Three apples and a cow."
- ``en-place``: English, with place, sizes and relations: "On the moon, three apples are beside a small cow."
- ``fr-place``: the same in French: "Trois pommes à gauche d'une petite vache, sur la lune."

Of a picture whose place is unknown the latter two describe the rest: "A cow is in the middle."

Every caption is true of its scene and grammatical; ``parser.py`` is the inverse.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping
from dataclasses import dataclass

from training.embedded.image.captions import english, french
from training.embedded.image.world.lexicon import Concept, load_lexicon
from training.embedded.image.world.places import Place, load_places
from training.embedded.image.world.scene import Scene

MODES = ("en-objects", "en-place", "fr-place")
# An annotator mentions a size that is not normal this often.
SIZE_MENTIONED = 0.7

TEMPLATES: dict[str, dict[int, tuple[str, ...]]] = {
    "en-objects": english.OBJECTS_TEMPLATES,
    "en-place": english.PLACE_TEMPLATES,
    "fr-place": french.PLACE_TEMPLATES,
}
PLACELESS_TEMPLATES: dict[str, dict[int, tuple[str, ...]]] = {
    "en-place": english.PLACELESS_TEMPLATES,
    "fr-place": french.PLACELESS_TEMPLATES,
}
_LETTERS = "abc"


def sentence(text: str) -> str:
    """``text`` with a capital first letter."""
    return text[:1].upper() + text[1:]


def templates_for(scene: Scene, mode: str) -> tuple[str, ...]:
    """The paraphrases an annotator has for such a scene."""
    table = TEMPLATES if scene.place is not None or mode == "en-objects" else PLACELESS_TEMPLATES
    return table[mode][len(scene.things)]


@dataclass(frozen=True)
class Grammar:
    """The annotators over one lexicon and one table of places, both by id."""

    concepts: Mapping[str, Concept]
    places: Mapping[str, Place]

    def caption(self, scene: Scene, mode: str, rng: random.Random, template: int | None = None) -> str:
        """One caption of ``scene`` in ``mode``; ``template`` picks one paraphrase instead of a random one.

        Raises KeyError for a concept or place outside the tables, ValueError for an unknown mode.
        """
        if mode not in TEMPLATES:
            raise ValueError(f"unknown mode {mode!r}; choose one of {', '.join(MODES)}")
        templates = templates_for(scene, mode)
        pattern = rng.choice(templates) if template is None else templates[template]
        phrases = dict(zip(_LETTERS, self._noun_phrases(scene, mode, rng), strict=False))
        if mode == "en-objects" or scene.place is None:
            return sentence(pattern.format(**phrases))
        phrase, alternative, place_noun = self.places[scene.place].phrases("fr" if mode == "fr-place" else "en")
        place = rng.choice((phrase, alternative))
        return sentence(pattern.format(**phrases, place=place, place_noun=place_noun))

    def _noun_phrases(
        self, scene: Scene, mode: str, rng: random.Random
    ) -> list[english.EnglishNounPhrase | french.FrenchNounPhrase]:
        phrases = []
        for thing in scene.things:
            concept, plural = self.concepts[thing.concept], thing.count > 1
            if mode == "fr-place":
                size_word = _maybe(french.size_words_fr(concept, thing.size), rng)
                text = french.noun_phrase_fr(concept, thing.count, size_word)
                phrases.append(french.FrenchNounPhrase(text, plural, french.WHERE[thing.slot]))
            else:
                # The short annotator never mentions sizes.
                size = thing.size if mode == "en-place" else "normal"
                size_word = _maybe(english.size_words_en(concept, size), rng)
                text = english.noun_phrase_en(concept, thing.count, size_word)
                phrases.append(english.EnglishNounPhrase(text, plural, english.WHERE[thing.slot]))
        return phrases


def _maybe(words: tuple[str, ...], rng: random.Random) -> str:
    """One of ``words`` as often as annotators mention sizes, else ""."""
    return rng.choice(words) if words and rng.random() < SIZE_MENTIONED else ""


@functools.cache
def load_grammar() -> Grammar:
    """The annotators over the project's own tables."""
    return Grammar(load_lexicon(), load_places())


def caption(scene: Scene, mode: str, rng: random.Random) -> str:
    """``Grammar.caption`` over the project's own tables."""
    return load_grammar().caption(scene, mode, rng)
