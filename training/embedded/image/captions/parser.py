"""Parser of captions: the inverse of ``grammar.py``, used to score generated captions.

It parses exactly what the annotators write, and makes the best of anything else: unknown words are passed
over, nothing raises. Phrases are found by longest match over word n-grams of the lexicon and the places.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from training.embedded.common.text import LANGUAGES, Language, Words, likelier_language, longest_matches, normalise
from training.embedded.image.world.lexicon import Concept, load_lexicon
from training.embedded.image.world.places import Place, load_places

_TOKEN = re.compile(r"[^\W_]+|[^\w\s'’-]")


def words(text: str) -> Words:
    """Lower-case words and punctuation marks; apostrophes and hyphens only separate."""
    return tuple(_TOKEN.findall(normalise(text)))


FUNCTION_WORDS: dict[Language, frozenset[str]] = {
    "en": frozenset(
        words(
            "a an the one two three four five six and of is are there this in to with from between beside "
            "next you see can be seen picture shows left right middle small little tiny large big enormous"
        )
    ),
    "fr": frozenset(
        words(
            "un une deux trois quatre cinq et de d du des le la les l est sont il y voici avec dans sur "
            "entre à au côté gauche droite milieu voit se trouve trouvent petit petite grand grande gros"
        )
    ),
}
NUMBERS: dict[Language, dict[str, int]] = {
    "en": {w: n for n, w in enumerate(words("one two three four five six seven eight nine ten"), start=1)}
    | {"a": 1, "an": 1},
    "fr": {w: n for n, w in enumerate(words("un deux trois quatre cinq six sept huit neuf dix"), start=1)} | {"une": 1},
}
# A number before one of these counts something else: "three zorps and the cow".
BOUNDARIES: dict[Language, frozenset[str]] = {
    "en": frozenset(words("the some and of with to")),
    "fr": frozenset(words("le la l les du des et de d avec")),
}
DETERMINERS: dict[Language, frozenset[str]] = {
    "en": frozenset(words("a an the some")),
    "fr": frozenset(words("un une des le la l les du de")),
}
# Words that hold a noun of their own and stand for nothing in the scene.
CARRIERS: dict[Language, tuple[str, ...]] = {
    "en": ("you can see", "i can see", "can be seen", "the picture shows", "a picture of"),
    "fr": ("une image de", "l'image montre"),
}
# {} is the place as a noun phrase; elsewhere "a bridge" would be a thing.
PLACE_FRAMES: dict[Language, str] = {"en": "this is {}", "fr": "voici {}"}
RELATIONS: dict[Language, tuple[str, ...]] = {
    "en": (
        "to the left of",
        "to the right of",
        "on the left",
        "on the right",
        "in the middle",
        "from left to right",
        "between",
        "beside",
        "next to",
    ),
    "fr": ("à gauche", "à droite", "au milieu", "de gauche à droite", "entre", "à côté"),
}
# How far a number may stand before its noun: "three very small apples".
_NUMBER_REACH = 3


@dataclass(frozen=True)
class ParsedCaption:
    """The content of a caption.

    ``things`` are (concept id, count) in order of mention; a count is None where the caption gives none
    ("some apples"). ``place`` is a place id or None. ``relates``: whether it states where things stand.
    """

    language: Language | None
    mode: str | None
    things: tuple[tuple[str, int | None], ...]
    place: str | None
    relates: bool = False


@dataclass(frozen=True)
class _Sense:
    """What one n-gram stands for. ``number``: a noun's, None where singular and plural look the same."""

    kind: Literal["noun", "place", "place-noun", "relation", "carrier"]
    id: str = ""
    number: Literal["singular", "plural"] | None = None


@dataclass(frozen=True)
class _Span:
    sense: _Sense
    start: int
    end: int


class CaptionParser:
    """Parses captions by one lexicon and one table of places, both by id."""

    def __init__(self, concepts: Mapping[str, Concept], places: Mapping[str, Place]):
        self._senses = {language: _senses(language, concepts, places) for language in LANGUAGES}
        self._longest = {
            language: max((len(key) for key in senses), default=1) for language, senses in self._senses.items()
        }

    def parse(self, caption: str) -> ParsedCaption:
        """Any text, parsed; empty where nothing is recognised."""
        tokens = words(caption)
        spans = {language: self._spans(tokens, language) for language in LANGUAGES}
        votes = {
            language: sum(token in FUNCTION_WORDS[language] for token in tokens)
            + sum(span.sense.kind != "carrier" for span in spans[language])
            for language in LANGUAGES
        }
        language = likelier_language(votes)
        if language is None:
            # "Lion." is both: read it, but do not say in which language.
            return replace(_parsed("en", tokens, spans["en"]), language=None, mode=None)
        return _parsed(language, tokens, spans[language])

    def _spans(self, tokens: Words, language: Language) -> list[_Span]:
        matches = longest_matches(tokens, self._senses[language], self._longest[language])
        return [_Span(sense, start, end) for sense, start, end in matches]


def noun_forms(concept: Concept, language: Language) -> tuple[str, str]:
    """Singular and plural."""
    return (concept.en, concept.en_plural) if language == "en" else (concept.fr, concept.fr_plural)


def _senses(language: Language, concepts: Mapping[str, Concept], places: Mapping[str, Place]) -> dict[Words, _Sense]:
    """Every phrase of one language and its sense.

    Entered from the weakest to the strongest: a noun takes its phrase from a bare place noun ("bridge"),
    a place phrase ("on a bridge") from everything.
    """
    senses: dict[Words, _Sense] = {}
    for place in places.values():
        noun = words(place.phrases(language)[-1])
        while noun and noun[0] in DETERMINERS[language]:
            noun = noun[1:]
        senses[noun] = _Sense("place-noun", place.id)
    for concept in concepts.values():
        singular, plural = noun_forms(concept, language)
        senses[words(plural)] = _Sense("noun", concept.id, "plural")
        senses[words(singular)] = _Sense("noun", concept.id, None if singular == plural else "singular")
    for phrase in CARRIERS[language]:
        senses[words(phrase)] = _Sense("carrier")
    for phrase in RELATIONS[language]:
        senses[words(phrase)] = _Sense("relation")
    for place in places.values():
        phrase, alternative, noun_phrase = place.phrases(language)
        for some in (phrase, alternative, PLACE_FRAMES[language].format(noun_phrase)):
            senses[words(some)] = _Sense("place", place.id)
    senses.pop((), None)
    return senses


def _parsed(language: Language, tokens: Words, spans: list[_Span]) -> ParsedCaption:
    things = tuple(
        (span.sense.id, _count(language, tokens, span, spans)) for span in spans if span.sense.kind == "noun"
    )
    named = [span.sense for span in spans if span.sense.kind in ("place", "place-noun")]
    # "On a beach" is surer than a bare "beach".
    place = next((sense.id for sense in sorted(named, key=lambda sense: sense.kind == "place-noun")), None)
    relates = any(span.sense.kind == "relation" for span in spans)
    mode = None
    if place is not None or (relates and things):
        mode = f"{language}-place"
    elif language == "en" and not relates:
        mode = "en-objects"
    return ParsedCaption(language, mode, things, place, relates)


def _count(language: Language, tokens: Words, span: _Span, spans: list[_Span]) -> int | None:
    """The number word nearest before a noun, within reach and not before another phrase."""
    for position in range(span.start - 1, max(-1, span.start - 1 - _NUMBER_REACH), -1):
        token = tokens[position]
        if token in NUMBERS[language]:
            return NUMBERS[language][token]
        if token.isdecimal():
            # No picture holds a thousand of anything.
            return int(token) if len(token) <= 3 else None
        if token in BOUNDARIES[language] or not token.isalpha():
            break
        if any(other.start <= position < other.end for other in spans):
            break
    return 1 if span.sense.number == "singular" else None


@functools.cache
def load_parser() -> CaptionParser:
    """A parser over the project's own tables."""
    return CaptionParser(load_lexicon(), load_places())
