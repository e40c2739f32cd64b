"""How different several captions of one image or sound are, also short ones and those in different languages.

BLEU-4 (``metrics``) says nothing of captions under four words, and takes a translation for a different caption. Here
captions are compared by their wording, and, within one language only, by the content words they share.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import snowballstemmer

from lora_mcl.metrics import words

# Function words. In other languages all words count.
_ENGLISH = (
    "a an the this that these those is are was were be been being am do does has have there it its he she they i you "
    "we one of in on at to from by with and or as into onto for while then can some"
)
_FRENCH = (
    "un une des de du d le la les l ce cet cette ces c est sont était être a ont il elle ils elles on je tu nous vous "
    "y en se s qui que qu et ou où à au aux dans sur par avec pour puis pendant"
)
_FUNCTION_WORDS = {"en": frozenset(_ENGLISH.split()), "fr": frozenset(_FRENCH.split())}
_STEMMERS = {
    "en": "english",
    "fr": "french",
    "de": "german",
    "es": "spanish",
    "it": "italian",
    "nl": "dutch",
    "pt": "portuguese",
}
_APOSTROPHE = re.compile("['’]")


@dataclass(frozen=True)
class Variety:
    """Variety of n >= 2 captions.

    Attributes:
        captions: n.
        wordings: how many different ones there are; case and punctuation do not count.
        languages: of the captions, in their order; ``None`` where it is not known.
        shared: part of the content words that two captions in one language have in common (of those that either has;
            stems are compared), the mean over all such pairs: 0 to 1, lower is more varied. ``None`` if no two
            captions are in one language.
        pairs: pairs of captions.
        pairs_across: of these, pairs in different languages: their words differ by the language alone.
    """

    captions: int
    wordings: int
    languages: tuple[str | None, ...]
    shared: float | None
    pairs: int
    pairs_across: int


def variety(captions: Sequence[str], languages: Sequence[str | None]) -> Variety | None:
    """Variety of captions with their languages (ISO 639-1 codes); ``None`` for fewer than two captions.

    Raises:
        ValueError: not a language for each caption.
    """
    if len(captions) != len(languages):
        raise ValueError(f"{len(captions)} captions need as many languages, not {len(languages)}")
    if len(captions) < 2:
        return None
    pairs = list(combinations(range(len(captions)), 2))
    across = [(i, j) for i, j in pairs if None not in (languages[i], languages[j]) and languages[i] != languages[j]]
    within = [pair for pair in pairs if pair not in across]
    shared = [
        overlap(captions[i], captions[j], languages[i] or languages[j]) for i, j in within
    ]  # where one is unknown it is taken for the other's
    return Variety(
        captions=len(captions),
        wordings=len({tuple(words(caption)) for caption in captions}),
        languages=tuple(languages),
        shared=sum(shared) / len(shared) if shared else None,
        pairs=len(pairs),
        pairs_across=len(across),
    )


def overlap(one: str, two: str, language: str | None) -> float:
    """Content words of both captions over those of either, 0 to 1; 1 for equal captions."""
    if words(one) == words(two):
        return 1.0
    a, b = content_words(one, language), content_words(two, language)
    return len(a & b) / len(a | b) if a | b else 0.0


@lru_cache(maxsize=4096)
def content_words(caption: str, language: str | None) -> frozenset[str]:
    """Stems (Snowball) of the words that are no function words; whole words where the language has no stemmer."""
    parts = [part for word in words(caption) for part in _APOSTROPHE.split(word) if part]
    function_words = _FUNCTION_WORDS.get(language or "", ())
    content = [part for part in parts if part not in function_words]
    if language not in _STEMMERS:
        return frozenset(content)
    # Not shared between threads: a stemmer keeps the word it works on.
    return frozenset(snowballstemmer.stemmer(_STEMMERS[language]).stemWords(content))
