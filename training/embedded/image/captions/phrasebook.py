"""The grammar's French captions in English, as the file that the page translates by::

    python -m training.embedded.image.captions.phrasebook

writes it into the embedded image model's bundle (``lora_mcl.phrasebook`` reads it).
"""

from __future__ import annotations

import json
import re
from typing import Any

from lora_mcl.bundle.bundle import EMBEDDED_BUNDLE
from lora_mcl.phrasebook import PHRASEBOOK_FILE
from training.embedded.image.captions import english, french
from training.embedded.image.world.lexicon import Concept, load_lexicon
from training.embedded.image.world.places import load_places

# English of each French template; what stands next to a place is the same without one.
_ENGLISH = {
    "{a} {a.stands} {a.where}": "{a} {a.be} {a.where}",
    "il y a {a} {a.where}": "there {a.be} {a} {a.where}",
    "on voit {a} {a.where}": "{a} can be seen {a.where}",
    "{a} {a.where}": "{a} {a.where}",
    "{a} {a.stands} à gauche {b.of}": "{a} {a.be} to the left of {b}",
    "il y a {b} à droite {a.of}": "there {b.be} {b} to the right of {a}",
    "on voit {a} {a.where} et {b} {b.where}": "{a} {a.where} and {b} {b.where} can be seen",
    "{a} à gauche {b.of}": "{a} to the left of {b}",
    "{b} à droite {a.of}": "{b} to the right of {a}",
    "{a} à côté {b.of}": "{a} beside {b}",
    "{b} {b.stands} entre {a} et {c}": "{b} {b.be} between {a} and {c}",
    "de gauche à droite : {a}, {b} et {c}": "from left to right: {a}, {b} and {c}",
    "il y a {a} à gauche {b.of} et {c.of}": "there {a.be} {a} to the left of {b} and {c}",
    "{b} entre {a} et {c}": "{b} between {a} and {c}",
    "{c} à droite {a.of} et {b.of}": "{c} to the right of {a} and {b}",
}
# Prepositions that may stand before any place: the model at times takes one that no caption of that place had.
_PREPOSITIONS = {"sur": "on", "dans": "in", "devant": "in front of", "près d'": "near", "au bord d'": "by"}
# The starts of places' phrases after which a noun phrase stands; another start is an idiom ("en ville").
_BEFORE_NOUN_FR = re.compile(
    r"(?:(?:sur|dans|devant|contre|sous|parmi) |(?:près|au milieu|au bord) d(?:'|e ))(?=(?:une?|les?|la) )"
)
_BEFORE_NOUN_EN = re.compile(r"(?:on|in|in front of|against|under|beneath|among|near|by|at) (?=(?:an?|the) )")
# The size of each French adjective: the likest of the English ones.
_SIZES = {"petit": "small", "minuscule": "tiny", "grand": "large", "gros": "big", "énorme": "enormous"}


def phrasebook() -> dict[str, Any]:
    """The file's content."""
    templates = [
        template
        for table in (french.PLACE_TEMPLATES, french.PLACELESS_TEMPLATES)
        for group in table.values()
        for template in group
    ]
    places = [(place.phrases("fr"), place.phrases("en")) for place in load_places().values()]
    return {
        "source": "fr",
        "target": "en",
        "numbers": {french.NUMBERS[count]: english.NUMBERS[count] for count in french.NUMBERS},
        "sizes": [[list(french.ADJECTIVES[word]), size] for word, size in _SIZES.items()],
        "where": {french.WHERE[slot]: english.WHERE[slot] for slot in french.WHERE},
        "places": {source: target for pair in places for source, target in zip(*pair, strict=True)},
        "prepositions": _PREPOSITIONS,
        "place_nouns": _place_nouns(),
        "sentences": [[template, _translated(template)] for template in dict.fromkeys(templates)],
        "nouns": [_noun(concept) for concept in _unambiguous(load_lexicon().values())],
    }


def _place_nouns() -> dict[str, str]:
    """French noun phrases of places and their English, as they stand alone or after a preposition."""
    nouns: dict[str, str] = {}
    for place in load_places().values():
        nouns[place.fr_noun] = place.en_noun
        for french_phrase, english_phrase in ((place.fr, place.en), (place.fr_alt, place.en_alt)):
            before = _BEFORE_NOUN_FR.match(french_phrase)
            english_before = _BEFORE_NOUN_EN.match(english_phrase)
            if before and english_before:
                nouns.setdefault(french_phrase[before.end() :], english_phrase[english_before.end() :])
    return nouns


def _translated(template: str) -> str:
    """The English of a template: its frame and what is in it."""
    body, before, after = template.removesuffix("."), "", ""
    if body.startswith("{place}, "):
        body, before = body.removeprefix("{place}, "), "{place}, "
    elif body.endswith(", {place}"):
        body, after = body.removesuffix(", {place}"), ", {place}"
    elif body.startswith("voici {place_noun} avec "):
        body, before = body.removeprefix("voici {place_noun} avec "), "this is {place_noun} with "
    return f"{before}{_ENGLISH[body]}{after}."


def _unambiguous(concepts: Any) -> list[Concept]:
    """Concepts whose French noun is no other's: of those that share one, a translation would be a guess."""
    concepts = list(concepts)
    named: dict[str, set[str]] = {}
    for concept in concepts:
        for form in (concept.fr, concept.fr_plural):
            named.setdefault(form, set()).add(concept.en)
    return [concept for concept in concepts if len(named[concept.fr]) == len(named[concept.fr_plural]) == 1]


def _noun(concept: Concept) -> list[str]:
    return [concept.fr, concept.fr_plural, concept.gender, concept.article, concept.en, concept.en_plural]


def text() -> str:
    """The file: a line for each entry."""
    parts = []
    for name, value in phrasebook().items():
        written = json.dumps(value, ensure_ascii=False)
        if isinstance(value, list):
            entries = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in value)
            written = f"[\n{entries}\n]"
        parts.append(f"{json.dumps(name)}: {written}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    (EMBEDDED_BUNDLE / PHRASEBOOK_FILE).write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
