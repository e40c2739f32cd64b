"""The language of a caption: by its function words, then by byte n-grams (py3langid).

N-grams alone are unsure of captions as short as "Un chat." or "A cat."; an article leaves few languages to choose from.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache

from py3langid.langid import MODEL_DIR, MODEL_FILE, LanguageIdentifier

from lora_mcl.metrics import words

LANGUAGES = {
    "en": "English",
    "fr": "French",
    "de": "German",
    "es": "Spanish",
    "it": "Italian",
    "nl": "Dutch",
    "pt": "Portuguese",
}
"""The languages that are distinguished, by ISO 639-1 code."""

# Articles, and prepositions and verbs that captions are full of. A word that is one in several languages is in several
# lists, unless it is rare there.
_FUNCTION_WORDS = {
    "en": "a an the of in on at to by with and from two three is are there it this some i we you can something",
    "fr": "un une des le la les l d du de au aux à et en sur dans avec deux trois il y qui ce c est voici on quelque",
    "de": "ein eine einen einem einer der die das den dem des und auf im mit zwei drei ist von am vor neben",
    "es": "un una unos unas el la los las de del y en con por dos tres es está al hay",
    "it": "un una uno il lo la gli le i di del della e in su con due tre è nel sul c",
    "nl": "een de het op en in met van twee drie is aan bij naast staat er",
    "pt": "um uma uns umas os as de do da em no na com dois duas três há ao",
}
_LANGUAGES_OF = {
    word: frozenset(code for code, listed in _FUNCTION_WORDS.items() if word in listed.split())
    for word in " ".join(_FUNCTION_WORDS.values()).split()
}
# What is less likely, among the languages that are left, is a guess.
_LEAST = 0.6
# Number of words from which a caption is identified without the others.
_LONG = 4


@lru_cache(maxsize=4096)
def language_of(caption: str) -> str | None:
    """ISO 639-1 code of one of ``LANGUAGES``; ``None`` where the caption is too short or too odd to say."""
    return _most_likely(caption, _candidates(caption) or LANGUAGES)


def languages_of(captions: Sequence[str]) -> tuple[str | None, ...]:
    """Codes of several captions of one image or sound.

    A caption of few words is taken for one of the languages of the longer ones, if its words allow that.
    """
    codes = [language_of(caption) if len(words(caption)) >= _LONG else None for caption in captions]
    known = {code for code in codes if code}
    return tuple(code or _among(caption, known) for caption, code in zip(captions, codes, strict=True))


def _among(caption: str, known: set[str]) -> str | None:
    """The language of a short caption, by those that are ``known`` of others."""
    candidates = _candidates(caption)
    if candidates & known:
        return _most_likely(caption, candidates & known, least=0.0)
    # Without function words, one known language proves nothing.
    if not candidates and len(known) > 1:
        return _most_likely(caption, known)
    return language_of(caption)


def _candidates(caption: str) -> frozenset[str]:
    """The languages with the most function words in the caption; none without any."""
    found = [_LANGUAGES_OF[part] for word in words(caption) for part in word.split("'") if part in _LANGUAGES_OF]
    counts = {code: sum(code in codes for codes in found) for code in LANGUAGES}
    most = max(counts.values())
    return frozenset(code for code, count in counts.items() if count == most) if most else frozenset()


def _most_likely(caption: str, among: Collection[str], least: float = _LEAST) -> str | None:
    if not words(caption):
        return None
    ranked = [(str(code), probability) for code, probability in _identifier().rank(caption) if code in among]
    code, probability = ranked[0]
    return code if probability >= least * sum(each for _, each in ranked) else None


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_DIR / MODEL_FILE, norm_probs=True)
    identifier.set_languages(list(LANGUAGES))
    return identifier
