"""Parser of captions: the inverse of ``grammar.py``, used to score generated captions.

It parses exactly what the annotators write, and makes the best of anything else: unknown words are passed over,
nothing raises. Clauses are found by longest match over word n-grams: the noun without its article, then the verb
in any of its forms ("dog barks", "dog barking"; "chien aboie", "chien qui aboie").
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from typing import Literal

from training.embedded.audio.annotation.timbre import BY_ID, Timbre, timbre_clause
from training.embedded.audio.captions import english
from training.embedded.audio.world.lexicon import Clause, Lexicon, load_lexicon
from training.embedded.audio.world.moods import MOOD_WORDS
from training.embedded.common.text import LANGUAGES, Language, Words, likelier_language, longest_matches, normalise

_TOKEN = re.compile(r"[^\W_]+")


def words(text: str) -> Words:
    """Lower-case words; punctuation, apostrophes and hyphens only separate."""
    return tuple(_TOKEN.findall(normalise(text)))


FUNCTION_WORDS: dict[Language, frozenset[str]] = {
    "en": frozenset(
        words(
            "a an the of and then while with in at same time both we you can hear sound background first finally "
            "followed by twice three times before after as together over distance loudly far away is made this"
        )
    ),
    "fr": frozenset(
        words(
            "un une des de du d le la les l et puis pendant que qu qui avec en fond sonore même temps on entend voici "
            "bruit fois deux trois à au aux loin lointain dans il y a ensuite enfin tandis alors après bruyamment"
        )
    ),
}
DETERMINERS: dict[Language, frozenset[str]] = {
    "en": frozenset(words("a an the")),
    "fr": frozenset(words("un une des de du d le la les l")),
}
TIMES: dict[Language, dict[Words, int]] = {
    "en": {words("twice"): 2, words("two times"): 2, words("three times"): 3, words("thrice"): 3},
    "fr": {words("deux fois"): 2, words("trois fois"): 3},
}
# How many words may stand between a clause and its number: "in the distance twice", "un air lent deux fois".
_TIMES_REACH = 4
# Frames of the annotator who describes impressions.
IMPRESSIONS: tuple[Words, ...] = tuple(words(text) for text in ("scene", "atmosphere", "mood", "recording", "feels"))


@dataclass(frozen=True)
class ParsedCaption:
    """The content of a caption.

    Attributes:
        events: (sound id, times) in order of mention; times is None for a sound that goes on.
        families: families named, by themselves or through one of their events, in order.
        timbres: of the sounds that it describes without a name.
        background: the one it names, ``silence`` where it states that there is none, None where it does not say.
        mood: the mood it names.
        repeated: it states the same clause twice, which no annotator does.
    """

    language: Language | None
    mode: str | None
    events: tuple[tuple[str, int | None], ...] = ()
    families: tuple[str, ...] = ()
    timbres: tuple[Timbre, ...] = ()
    background: str | None = None
    mood: str | None = None
    repeated: bool = False


@dataclass(frozen=True)
class _Span:
    kind: Literal["sound", "family", "timbre", "foreground", "place", "mood", "times", "impression"]
    value: str | int
    start: int
    end: int


class CaptionParser:
    """Parses captions by one lexicon."""

    def __init__(self, lexicon: Lexicon):
        self.lexicon = lexicon
        self._senses = {language: _senses(language, lexicon) for language in LANGUAGES}
        self._longest = {language: max(map(len, senses)) for language, senses in self._senses.items()}

    def parse(self, caption: str) -> ParsedCaption:
        """Any text, parsed; empty where nothing is recognised."""
        tokens = words(caption)
        spans = {language: self._spans(tokens, language) for language in LANGUAGES}
        votes = {
            language: sum(token in FUNCTION_WORDS[language] for token in tokens) + 2 * len(spans[language])
            for language in LANGUAGES
        }
        language = likelier_language(votes)
        if language is None:
            return replace(self._parsed("en", spans["en"]), language=None, mode=None)
        return self._parsed(language, spans[language])

    def covered(self, caption: str) -> list[bool]:
        """Of each of an English caption's words, whether it belongs to something that the parser knows."""
        tokens = words(caption)
        inside = {place for span in self._spans(tokens, "en") for place in range(span.start, span.end)}
        return [place in inside for place in range(len(tokens))]

    def _spans(self, tokens: Words, language: Language) -> list[_Span]:
        matches = longest_matches(tokens, self._senses[language], self._longest[language])
        return [_Span(*sense, start, end) for sense, start, end in matches]

    def _parsed(self, language: Language, spans: list[_Span]) -> ParsedCaption:
        sounds = self.lexicon.sounds
        events, families, timbres, background, mood = [], [], [], None, None
        for index, span in enumerate(spans):
            if span.kind == "sound" and sounds[span.value].kind == "background":
                background = span.value
            elif span.kind == "sound":
                events.append((span.value, self._times(span, spans[index + 1 : index + 2])))
                families.append(sounds[span.value].family)
            elif span.kind in ("family", "foreground"):
                families.append(span.value)
            elif span.kind == "timbre":
                timbres.append(BY_ID[span.value])
            elif span.kind == "place":
                background = span.value
            elif span.kind == "mood":
                mood = span.value
        kinds = {span.kind for span in spans}
        clauses = [(span.kind, span.value) for span in spans if span.kind in ("sound", "family", "timbre")]
        repeated = len(set(clauses)) < len(clauses)
        mode = None
        described = kinds & {"sound", "family", "timbre"}
        if language == "en" and kinds & {"place", "mood", "impression"} and not described:
            mode = "en-scene"
        elif described and not kinds & {"place", "mood", "impression", "foreground"}:
            mode = f"{language}-events"
        return ParsedCaption(
            language, mode, tuple(events), tuple(dict.fromkeys(families)), tuple(timbres), background, mood, repeated
        )

    def _times(self, span: _Span, following: list[_Span]) -> int | None:
        if self.lexicon.sounds[span.value].shape == "long":
            return None
        if following and following[0].kind == "times" and following[0].start - span.end <= _TIMES_REACH:
            return int(following[0].value)
        return 1


def clause_forms(clause: Clause, language: Language) -> tuple[Words, ...]:
    """The word sequences that state a clause, its subject without article."""
    subject = words(clause.en if language == "en" else clause.fr)
    while subject[0] in DETERMINERS[language] and len(subject) > 1:
        subject = subject[1:]
    if language == "en":
        return (subject + words(clause.verb), subject + words(clause.ing))
    return (subject + words(clause.verbe), (*subject, "qui", *words(clause.verbe)))


def _senses(language: Language, lexicon: Lexicon) -> dict[Words, tuple[str, str | int]]:
    senses: dict[Words, tuple[str, str | int]] = {}
    if language == "en":
        senses |= dict.fromkeys(IMPRESSIONS, ("impression", ""))
        senses |= {words(adjective): ("mood", mood) for mood, some in MOOD_WORDS.items() for adjective in some}
        for place in lexicon.places.values():
            senses |= {words(phrase): ("place", place.background) for phrase in (place.en, place.en_alt)}
        senses |= {words(family.sounds): ("foreground", family.id) for family in lexicon.families.values()}
        senses |= {words(text): ("impression", "") for text in (english.NO_FOREGROUND, english.UNKNOWN_FOREGROUND)}
        senses |= {words(text): ("impression", "") for some in english.TEXTURES.values() for text in some}
    for family in lexicon.families.values():
        if family.clause is not None:
            senses |= dict.fromkeys(clause_forms(family.clause, language), ("family", family.id))
    for timbre in BY_ID.values():
        senses |= dict.fromkeys(clause_forms(timbre_clause(timbre), language), ("timbre", timbre.id))
    for sound in lexicon.sounds.values():
        senses |= dict.fromkeys(clause_forms(sound.clause, language), ("sound", sound.id))
    senses |= {phrase: ("times", number) for phrase, number in TIMES[language].items()}
    return senses


@functools.cache
def load_parser() -> CaptionParser:
    """A parser over the project's own tables."""
    return CaptionParser(load_lexicon())
