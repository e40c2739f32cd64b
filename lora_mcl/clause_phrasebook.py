"""Exact translation of captions that are clauses joined by fixed words ("a dog barks twice, then it rains").

``phrasebook.py`` is for captions whose sentences have noun phrases and places; a bundle's ``phrasebook.json`` is one of
both kinds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# A slot of a sentence: {a}, {a.rel}, {background.que}.
_SLOT = re.compile(r"\{(\w+)(?:\.(\w+))?\}")
_PLAIN = "plain"


@dataclass(frozen=True)
class ClausePhrasebook:
    """Translates from ``source`` to ``target`` (ISO 639-1 codes).

    Attributes:
        sentences: patterns of the source language, whose groups are named by slot and form (``a__rel``), with their
            templates in the target language; tried in their order.
        forms: clauses by the name of their form and their text in the source language.
        adverbs: what may follow a clause, likewise.
    """

    source: str
    target: str
    sentences: tuple[tuple[re.Pattern[str], str], ...]
    forms: Mapping[str, Mapping[str, str]]
    adverbs: Mapping[str, str]

    def translate(self, caption: str) -> str | None:
        """The caption in the other language; None where the grammar does not write it."""
        text = caption.strip().replace("’", "'")
        text = text[:1].lower() + text[1:]
        for pattern, template in self.sentences:
            if match := pattern.fullmatch(text):
                clauses = {slot: self._clause(slot, found) for slot, found in match.groupdict().items()}
                if None not in clauses.values():
                    return _written(template, clauses)
        return None

    def _clause(self, group: str, text: str) -> str | None:
        """A clause and its adverbs; None if either is unknown."""
        known = self.forms[group.partition("__")[2]]
        if text in known:
            return known[text]
        for space in (place for place, letter in enumerate(text) if letter == " "):
            clause, adverbs = known.get(text[:space]), self.adverbs.get(text[space + 1 :])
            if clause is not None and adverbs is not None:
                return f"{clause} {adverbs}"
        return None


def clause_phrasebook_of(content: Mapping[str, Any]) -> ClausePhrasebook:
    """The phrasebook of a file's content.

    Raises:
        KeyError: a part is missing, or a sentence has a slot of an unknown form.
    """
    forms = {name: dict(texts) for name, texts in content["forms"].items()}
    for sentence, template in content["sentences"]:
        for slot in (*_SLOT.finditer(sentence), *_SLOT.finditer(template)):
            forms[slot[2] or _PLAIN]
    return ClausePhrasebook(
        source=content["source"],
        target=content["target"],
        sentences=tuple((_pattern(sentence), template) for sentence, template in content["sentences"]),
        forms=forms,
        adverbs=dict(content["adverbs"]),
    )


def _written(template: str, clauses: Mapping[str, str]) -> str:
    """The template with its slots filled, and a capital letter."""
    text = _SLOT.sub(lambda slot: clauses[_group(slot)], template)
    return text[:1].upper() + text[1:]


def _pattern(sentence: str) -> re.Pattern[str]:
    pieces, end = [], 0
    for slot in _SLOT.finditer(sentence):
        pieces.append(f"{re.escape(sentence[end : slot.start()])}(?P<{_group(slot)}>[^,;]+?)")
        end = slot.end()
    return re.compile("".join(pieces) + re.escape(sentence[end:]))


def _group(slot: re.Match[str]) -> str:
    return f"{slot[1]}__{slot[2] or _PLAIN}"
