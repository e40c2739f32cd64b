"""Exact translation of captions that follow a known grammar: a bundle may bring its own, as ``phrasebook.json``.

The captions that the embedded models learned from were written by grammars in two languages. What they write by those
can be translated without a model; of anything else there is no translation. ``Phrasebook`` is for pictures,
``ClausePhrasebook`` for sounds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_mcl.clause_phrasebook import ClausePhrasebook, clause_phrasebook_of
from lora_mcl.errors import BundleError

PHRASEBOOK_FILE = "phrasebook.json"

# A slot of a sentence: {a}, {a.of}, {place}.
_SLOT = re.compile(r"\{(\w+)(?:\.(\w+))?\}")


@dataclass(frozen=True)
class _Phrase:
    """A noun phrase in the other language."""

    text: str
    plural: bool


@dataclass(frozen=True)
class _Sentence:
    """A sentence with slots, as a pattern of one language and a template of the other."""

    pattern: re.Pattern[str]
    template: str


@dataclass(frozen=True)
class Phrasebook:
    """Translates from ``source`` to ``target`` (ISO 639-1 codes).

    Attributes:
        sentences: tried in their order.
        things: noun phrases, by their text in the source language.
        places: prepositional and noun phrases of places.
        where: positions ("à gauche": "on the left").
    """

    source: str
    target: str
    sentences: tuple[_Sentence, ...]
    things: Mapping[str, _Phrase]
    places: Mapping[str, str]
    where: Mapping[str, str]

    def translate(self, caption: str) -> str | None:
        """The caption in the other language; None where the grammar does not write it."""
        text = caption.strip().replace("’", "'")
        text = text[:1].lower() + text[1:]
        for sentence in self.sentences:
            if match := sentence.pattern.fullmatch(text):
                slots = self._slots(match.groupdict())
                if slots is not None:
                    return _written(sentence.template, slots)
        return None

    def _slots(self, found: Mapping[str, str]) -> dict[str, str] | None:
        """What the template's slots are filled with; None if one of them is unknown."""
        slots: dict[str, str] = {}
        for name, text in found.items():
            if name.startswith("place"):
                known = self.places.get(text)
            elif name.endswith("_where"):
                known, name = self.where.get(text), name.replace("_where", ".where")
            else:
                phrase = self.things.get(text)
                known = phrase and phrase.text
                slots[f"{name}.be"] = "are" if phrase and phrase.plural else "is"
            if known is None:
                return None
            slots[name] = known
        return slots


def _written(template: str, slots: Mapping[str, str]) -> str:
    """The template with its slots filled, and a capital letter."""
    text = _SLOT.sub(lambda slot: slots[slot.group().strip("{}")], template)
    return text[:1].upper() + text[1:]


Translator = Phrasebook | ClausePhrasebook
"""Translates captions: ``source``, ``target`` and ``translate``."""


def load_phrasebook(folder: Path) -> Translator | None:
    """The phrasebook of a bundle's folder; None where it has none.

    Raises:
        BundleError: the file is neither kind of phrasebook.
    """
    file = folder / PHRASEBOOK_FILE
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return clause_phrasebook_of(content) if "forms" in content else phrasebook_of(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, re.error) as error:
        raise BundleError(f"{file} is not a phrasebook: {error!r}.") from error


def phrasebook_of(content: Mapping[str, Any]) -> Phrasebook:
    """The phrasebook of a file's content."""
    where = dict(content["where"])
    return Phrasebook(
        source=content["source"],
        target=content["target"],
        sentences=tuple(_Sentence(_pattern(source, where), target) for source, target in content["sentences"]),
        things=_things(content),
        places=_places(content),
        where=where,
    )


def _pattern(sentence: str, where: Mapping[str, str]) -> re.Pattern[str]:
    """A regular expression for a French sentence: a slot's text is a group of its name."""
    pieces, end = [], 0
    for slot in _SLOT.finditer(sentence):
        pieces.append(re.escape(sentence[end : slot.start()]))
        pieces.append(_slot_pattern(slot.group(1), slot.group(2), where))
        end = slot.end()
    return re.compile("".join(pieces) + re.escape(sentence[end:]))


def _slot_pattern(name: str, form: str | None, where: Mapping[str, str]) -> str:
    if form == "stands":
        return "se trouve(?:nt)?"
    if form == "where":
        return f"(?P<{name}_where>{'|'.join(map(re.escape, where))})"
    text = f"(?P<{name}>[^,:]+?)"
    return f"(?:de |d'){text}" if form == "of" else text


def _places(content: Mapping[str, Any]) -> dict[str, str]:
    """The phrases of places, and every preposition before every noun: a model joins those that no caption joined."""
    joined = {
        f"{preposition} {noun}".replace("' ", "'"): f"{english} {english_noun}"
        for preposition, english in content["prepositions"].items()
        for noun, english_noun in content["place_nouns"].items()
    }
    return joined | content["places"]


def _things(content: Mapping[str, Any]) -> dict[str, _Phrase]:
    """Every noun phrase; where a noun alone reads like another with a size ("une grande roue"), it is the noun."""
    sized = {text: phrase for noun in content["nouns"] for text, phrase in _sized(noun, content)}
    return sized | {text: phrase for noun in content["nouns"] for text, phrase in _plain(noun, content)}


def _plain(noun: Sequence[str], content: Mapping[str, Any]) -> Iterator[tuple[str, _Phrase]]:
    """A noun alone: a French text and what it is in English."""
    french, french_plural, gender, article, english, english_plural = noun
    yield f"{'une' if gender == 'f' else 'un'} {french}", _Phrase(f"{article} {english}", plural=False)
    for number, count in content["numbers"].items():
        yield f"{number} {french_plural}", _Phrase(f"{count} {english_plural}", plural=True)


def _sized(noun: Sequence[str], content: Mapping[str, Any]) -> Iterator[tuple[str, _Phrase]]:
    """The same with each size."""
    french, french_plural, gender, _, english, english_plural = noun
    feminine = gender == "f"
    for forms, size in content["sizes"]:
        singular, plural = forms[2 * feminine : 2 * feminine + 2]
        sized = f"{'an' if size[0] in 'aeiou' else 'a'} {size} {english}"
        yield f"{'une' if feminine else 'un'} {singular} {french}", _Phrase(sized, plural=False)
        for number, count in content["numbers"].items():
            yield f"{number} {plural} {french_plural}", _Phrase(f"{count} {size} {english_plural}", plural=True)
