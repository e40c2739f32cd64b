"""The English annotators: noun phrases and the sentence templates of ``en-objects`` and ``en-place``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.embedded.image.world.lexicon import Concept
    from training.embedded.image.world.scene import Size, Slot

NUMBERS = {2: "two", 3: "three"}
SIZE_WORDS: dict[Size, tuple[str, ...]] = {
    "small": ("small", "little", "tiny"),
    "normal": (),
    "large": ("large", "big", "enormous"),
}
SIZE_FORMS = frozenset(word for words in SIZE_WORDS.values() for word in words)
WHERE: dict[Slot, str] = {"left": "on the left", "middle": "in the middle", "right": "on the right"}

# Templates by the number of things. {a}, {b}, {c} are the things from left to right, {place} is a
# prepositional phrase ("on a beach") and {place_noun} a noun phrase ("a beach"). Every template is true
# of every scene with that number of things, so one can be drawn without looking at the scene.
OBJECTS_TEMPLATES: dict[int, tuple[str, ...]] = {
    1: (
        "{a}.",
        "we see {a}.",
        "you can see {a}.",
        "I can see {a}.",
        "the picture shows {a}.",
        "a picture of {a}.",
    ),
    2: (
        "{a} and {b}.",
        "{a}, {b}.",
        "you can see {a} and {b}.",
        "I can see {a} and {b}.",
        "the picture shows {a} and {b}.",
        "a picture of {a} and {b}.",
    ),
    3: (
        "{a}, {b} and {c}.",
        "{a}, {b}, {c}.",
        "you can see {a}, {b} and {c}.",
        "I can see {a}, {b} and {c}.",
        "the picture shows {a}, {b} and {c}.",
        "a picture of {a}, {b} and {c}.",
    ),
}
PLACE_TEMPLATES: dict[int, tuple[str, ...]] = {
    1: (
        "{place}, {a} {a.be} {a.where}.",
        "{place}, there {a.be} {a} {a.where}.",
        "{place}, {a} can be seen {a.where}.",
        "{a} {a.be} {a.where}, {place}.",
        "there {a.be} {a} {a.where}, {place}.",
        "{a} can be seen {a.where}, {place}.",
        "this is {place_noun} with {a} {a.where}.",
    ),
    2: (
        "{place}, {a} {a.be} to the left of {b}.",
        "{place}, {b} {b.be} to the right of {a}.",
        "{place}, {a} {a.be} {a.where} and {b} {b.be} {b.where}.",
        "{a} {a.be} to the left of {b}, {place}.",
        "{b} {b.be} to the right of {a}, {place}.",
        "{a} {a.be} beside {b}, {place}.",
        "this is {place_noun} with {a} to the left of {b}.",
    ),
    3: (
        "{place}, {b} {b.be} between {a} and {c}.",
        "{place}, from left to right: {a}, {b} and {c}.",
        "{place}, {a} {a.be} to the left of {b} and {c}.",
        "{b} {b.be} between {a} and {c}, {place}.",
        "from left to right: {a}, {b} and {c}, {place}.",
        "{c} {c.be} to the right of {a} and {b}, {place}.",
        "this is {place_noun} with {b} between {a} and {c}.",
    ),
}

# The same of a picture whose place is unknown.
PLACELESS_TEMPLATES: dict[int, tuple[str, ...]] = {
    1: (
        "{a} {a.be} {a.where}.",
        "there {a.be} {a} {a.where}.",
        "{a} can be seen {a.where}.",
    ),
    2: (
        "{a} {a.be} to the left of {b}.",
        "{b} {b.be} to the right of {a}.",
        "{a} {a.be} {a.where} and {b} {b.be} {b.where}.",
        "{a} {a.be} beside {b}.",
    ),
    3: (
        "{b} {b.be} between {a} and {c}.",
        "from left to right: {a}, {b} and {c}.",
        "{a} {a.be} to the left of {b} and {c}.",
        "{c} {c.be} to the right of {a} and {b}.",
    ),
}


@dataclass(frozen=True)
class EnglishNounPhrase:
    """An indefinite or counted noun phrase ("three small apples") and the words a template puts near it."""

    text: str
    plural: bool
    where: str

    def __str__(self) -> str:
        return self.text

    @property
    def be(self) -> str:
        return "are" if self.plural else "is"


def article_en(word: str) -> str:
    """The indefinite article before a size word; the lexicon gives a noun's own ("an hour", "a unicorn")."""
    return "an" if word[0] in "aeiou" else "a"


def noun_phrase_en(concept: Concept, count: int, size_word: str = "") -> str:
    """The indefinite phrase: "a cow", "an enormous cow", "three small apples"."""
    if count > 1:
        words = (NUMBERS[count], size_word, concept.en_plural)
    elif size_word:
        words = (article_en(size_word), size_word, concept.en)
    else:
        words = (concept.article, concept.en)
    return " ".join(word for word in words if word)


def size_words_en(concept: Concept, size: Size) -> tuple[str, ...]:
    """Words for this size of this concept; none for a family or where the noun has one."""
    if concept.role == "family" or SIZE_FORMS & set(concept.en.split()):
        return ()
    return SIZE_WORDS[size]
