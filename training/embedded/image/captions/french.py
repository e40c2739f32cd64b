"""The French annotator: noun phrases with their agreements and the sentence templates of ``fr-place``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.embedded.image.world.lexicon import Concept
    from training.embedded.image.world.scene import Size, Slot

ARTICLES = {"m": "un", "f": "une"}
NUMBERS = {2: "deux", 3: "trois"}
# Only adjectives that stand before the noun, by their masculine singular.
SIZE_WORDS: dict[Size, tuple[str, ...]] = {
    "small": ("petit", "minuscule"),
    "normal": (),
    "large": ("grand", "gros", "énorme"),
}
# Masculine singular, masculine plural, feminine singular, feminine plural.
ADJECTIVES: dict[str, tuple[str, str, str, str]] = {
    "petit": ("petit", "petits", "petite", "petites"),
    "minuscule": ("minuscule", "minuscules", "minuscule", "minuscules"),
    "grand": ("grand", "grands", "grande", "grandes"),
    "gros": ("gros", "gros", "grosse", "grosses"),
    "énorme": ("énorme", "énormes", "énorme", "énormes"),
}
SIZE_FORMS = frozenset(form for forms in ADJECTIVES.values() for form in forms)
NOUNS_WITH_SIZE = frozenset({("grand", "roue")})
"""Size word and noun that together are another thing: "une grande roue" is a Ferris wheel."""
WHERE: dict[Slot, str] = {"left": "à gauche", "middle": "au milieu", "right": "à droite"}

# As in english.py: {a}, {b}, {c} from left to right, {place} "sur une plage", {place_noun} "une plage".
PLACE_TEMPLATES: dict[int, tuple[str, ...]] = {
    1: (
        "{place}, {a} {a.stands} {a.where}.",
        "{place}, il y a {a} {a.where}.",
        "{place}, on voit {a} {a.where}.",
        "{a} {a.where}, {place}.",
        "il y a {a} {a.where}, {place}.",
        "on voit {a} {a.where}, {place}.",
        "voici {place_noun} avec {a} {a.where}.",
    ),
    2: (
        "{place}, {a} {a.stands} à gauche {b.of}.",
        "{place}, il y a {b} à droite {a.of}.",
        "{place}, on voit {a} {a.where} et {b} {b.where}.",
        "{a} à gauche {b.of}, {place}.",
        "{b} à droite {a.of}, {place}.",
        "{a} à côté {b.of}, {place}.",
        "voici {place_noun} avec {a} à gauche {b.of}.",
    ),
    3: (
        "{place}, {b} {b.stands} entre {a} et {c}.",
        "{place}, de gauche à droite : {a}, {b} et {c}.",
        "{place}, il y a {a} à gauche {b.of} et {c.of}.",
        "{b} entre {a} et {c}, {place}.",
        "de gauche à droite : {a}, {b} et {c}, {place}.",
        "{c} à droite {a.of} et {b.of}, {place}.",
        "voici {place_noun} avec {b} entre {a} et {c}.",
    ),
}

PLACELESS_TEMPLATES: dict[int, tuple[str, ...]] = {
    1: (
        "{a} {a.stands} {a.where}.",
        "il y a {a} {a.where}.",
        "on voit {a} {a.where}.",
        "{a} {a.where}.",
    ),
    2: (
        "{a} {a.stands} à gauche {b.of}.",
        "il y a {b} à droite {a.of}.",
        "on voit {a} {a.where} et {b} {b.where}.",
        "{a} à côté {b.of}.",
    ),
    3: (
        "{b} {b.stands} entre {a} et {c}.",
        "de gauche à droite : {a}, {b} et {c}.",
        "il y a {a} à gauche {b.of} et {c.of}.",
        "{c} à droite {a.of} et {b.of}.",
    ),
}


@dataclass(frozen=True)
class FrenchNounPhrase:
    """An indefinite or counted noun phrase ("trois petites pommes") and the words a template puts near it."""

    text: str
    plural: bool
    where: str

    def __str__(self) -> str:
        return self.text

    @property
    def of(self) -> str:
        return de_fr(self.text)

    @property
    def stands(self) -> str:
        return "se trouvent" if self.plural else "se trouve"


def de_fr(phrase: str) -> str:
    """The phrase after "de", elided before a vowel: "d'une vache", "de trois pommes"."""
    return f"d'{phrase}" if phrase[0] in "aeiouyéèêâîôœ" else f"de {phrase}"


def adjective_fr(word: str, gender: str, plural: bool) -> str:
    """The form of an adjective, given by its masculine singular, that agrees with a noun."""
    return ADJECTIVES[word][2 * (gender == "f") + plural]


def noun_phrase_fr(concept: Concept, count: int, size_word: str = "") -> str:
    """The indefinite phrase: "une vache", "deux petites pommes"; ``size_word`` is a masculine singular."""
    plural = count > 1
    words = (
        NUMBERS[count] if plural else ARTICLES[concept.gender],
        adjective_fr(size_word, concept.gender, plural) if size_word else "",
        concept.fr_plural if plural else concept.fr,
    )
    return " ".join(word for word in words if word)


def size_words_fr(concept: Concept, size: Size) -> tuple[str, ...]:
    """Adjectives (masculine singular) for this size; none for a family, or for "une grande roue", which has one."""
    if concept.role == "family" or SIZE_FORMS & set(concept.fr.split()):
        return ()
    return tuple(word for word in SIZE_WORDS[size] if (word, concept.fr) not in NOUNS_WITH_SIZE)
