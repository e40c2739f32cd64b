"""Text in the annotators' two languages: normalised words, longest matches, and the likelier language."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Literal, TypeVar

Language = Literal["en", "fr"]
Words = tuple[str, ...]
LANGUAGES: tuple[Language, ...] = ("en", "fr")

Sense = TypeVar("Sense")


def normalise(text: str) -> str:
    """Lower case, composed characters, the ligature œ as two letters."""
    return unicodedata.normalize("NFC", text).lower().replace("œ", "oe")


def longest_matches(tokens: Words, senses: Mapping[Words, Sense], longest: int) -> Iterator[tuple[Sense, int, int]]:
    """The senses of known n-grams from left to right, not overlapping, each with its first and its end position.

    Args:
        senses: of each known n-gram.
        longest: number of words of the longest of them.
    """
    start = 0
    while start < len(tokens):
        for length in range(min(longest, len(tokens) - start), 0, -1):
            sense = senses.get(tokens[start : start + length])
            if sense is not None:
                yield sense, start, start + length
                start += length
                break
        else:
            start += 1


def likelier_language(votes: Mapping[Language, int]) -> Language | None:
    """The language with more votes; None for a tie."""
    return None if votes["en"] == votes["fr"] else max(LANGUAGES, key=votes.__getitem__)
