"""The nouns the embedded captioner knows, with all that a grammar needs to use them in two languages.

``lexicon.csv`` is written by hand. The role of a row is the kind of picture that the model sees of such a thing:

- *sprite*: drawings, to compose scenes from;
- *tag*: the frozen ImageNet head alone, which recognises it in a photograph;
- *detected*: the frozen COCO detector alone;
- *family*: nothing: the broader word for what cannot be named more precisely ("an animal", "some food").
"""

from __future__ import annotations

import csv
import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from lora_mcl.models.yolov3_tiny import COCO_CLASSES

LEXICON_CSV = Path(__file__).with_name("lexicon.csv")
IMAGENET_CLASSES = 1000

Group = Literal[
    "animal",
    "food",
    "vehicle",
    "clothing",
    "furniture",
    "instrument",
    "plant",
    "building",
    "tool",
    "toy",
    "person",
    "nature",
    "other",
]
Role = Literal["sprite", "tag", "detected", "family"]

FAMILIES: dict[Group, str] = {group: group for group in get_args(Group) if group not in ("nature", "other")}
"""Id of each group's broader word; the others' is ``OBJECT``."""
OBJECT = "object"
# COCO classes whose plain noun has another id than the class's name.
PLAIN = {
    "cup": "plain_cup",
    "pizza": "whole_pizza",
    "sports ball": "ball",
    "tie": "necktie",
    "skis": "ski",
    "donut": "doughnut",
    "dining table": "table",
    "tv": "television",
    "mouse": "computer_mouse",
    "remote": "remote_control",
    "cell phone": "mobile_phone",
    "hair drier": "hair_dryer",
}

_ID = re.compile(r"[a-z][a-z0-9_]*")
_EMOJI = re.compile(r"[0-9A-F]{4,5}(-[0-9A-F]{4,5})*")
_SIZES = (0.6, 1.4)
_YES_NO = {"y": True, "n": False}


class LexiconError(ValueError):
    """The table of nouns breaks one of its own rules; the message names the row and the rule."""


@dataclass(frozen=True)
class Concept:
    """One thing that can be named.

    Attributes:
        id: its name in code and in the other tables (ASCII, snake case).
        en, article, en_plural: the English noun, its indefinite article, its plural.
        fr, gender, fr_plural: the French noun, ``m`` or ``f``, its plural.
        elides: whether *le*, *la* and *de* lose their vowel before the French noun (*l'orange*, but
            *le hibou*).
        group: the broader word the thing falls under.
        size: how large to draw it next to other things, 0.6 (an ant) to 1.4 (a house). A much
            compressed scale: in true proportions an ant next to a house could not be seen.
        emoji: the code points of the emoji drawn for it, in hexadecimal; empty for a tag.
        tuxpaint: file stems of the Tux Paint stamps that show it.
        imagenet: 0-based ImageNet-1k classes that this noun names.
        coco: the COCO class that the detector gives such a thing, empty if none; several concepts may share one.
        role: what shows the model such a thing (see the module's docstring).

    Raises:
        LexiconError: if a field is out of its range or two fields contradict each other.
    """

    id: str
    en: str
    article: Literal["a", "an", "some"]
    en_plural: str
    fr: str
    gender: Literal["m", "f"]
    fr_plural: str
    elides: bool
    group: Group
    size: float
    emoji: str
    tuxpaint: tuple[str, ...]
    imagenet: tuple[int, ...]
    coco: str
    role: Role

    def __post_init__(self) -> None:
        words = (self.en, self.en_plural, self.fr, self.fr_plural)
        rules = {
            "id must be snake case": _ID.fullmatch(self.id),
            "nouns must be non-empty and trimmed": all(w and w == w.strip() for w in words),
            "article must be a, an or some": self.article in ("a", "an", "some"),
            "gender must be m or f": self.gender in ("m", "f"),
            "unknown group": self.group in get_args(Group),
            "unknown role": self.role in get_args(Role),
            f"size must be within {_SIZES}": _SIZES[0] <= self.size <= _SIZES[1],
            "ImageNet classes must be distinct and below 1000": (
                len(set(self.imagenet)) == len(self.imagenet)
                and all(0 <= index < IMAGENET_CLASSES for index in self.imagenet)
            ),
            "a sprite needs an emoji": self.role != "sprite" or _EMOJI.fullmatch(self.emoji),
            "unknown COCO class": not self.coco or self.coco in COCO_CLASSES,
            "a tag has ImageNet classes and no drawings": (
                self.role != "tag" or (self.imagenet and not self.emoji and not self.tuxpaint)
            ),
            "what is only detected has a COCO class, no ImageNet classes and no drawings": (
                self.role != "detected" or (self.coco and not (self.imagenet or self.emoji or self.tuxpaint))
            ),
            "a family has neither classes nor drawings": (
                self.role != "family" or not (self.coco or self.imagenet or self.emoji or self.tuxpaint)
            ),
        }
        broken = [rule for rule, holds in rules.items() if not holds]
        if broken:
            raise LexiconError(f"concept {self.id!r}: {'; '.join(broken)}")


@functools.cache
def load_lexicon(path: Path = LEXICON_CSV) -> dict[str, Concept]:
    """Read and check the table, once; concepts by id, in the table's order.

    Raises:
        LexiconError: on a malformed row, or on an id, noun or ImageNet class used twice.
    """
    with path.open(encoding="utf-8", newline="") as opened:
        concepts = [
            _concept(row, f"{path.name} line {line}") for line, row in enumerate(csv.DictReader(opened), start=2)
        ]
    for what in ("id", "en", "en_plural", "fr", "fr_plural"):
        _check_unique(what, [(getattr(concept, what), concept.id) for concept in concepts])
    _check_unique("imagenet", [(index, concept.id) for concept in concepts for index in concept.imagenet])
    return {concept.id: concept for concept in concepts}


def sprite_concepts(lexicon: dict[str, Concept]) -> tuple[Concept, ...]:
    """The concepts that scenes can be composed from."""
    return tuple(concept for concept in lexicon.values() if concept.role == "sprite")


def family_of(concept: Concept) -> str:
    """Id of the broader word for a concept: its group's, or "object" where the group has none."""
    return FAMILIES.get(concept.group, OBJECT)


def plain_concept(coco: str) -> str:
    """Id of the noun for a COCO class and no more than that: "bird" rather than "parrot"."""
    return PLAIN.get(coco, coco.replace(" ", "_"))


def _concept(row: dict[str, str], where: str) -> Concept:
    try:
        typed = {
            "elides": _YES_NO[row["elides"]],
            "size": float(row["size"]),
            "tuxpaint": tuple(filter(None, row["tuxpaint"].split(";"))),
            "imagenet": tuple(int(index) for index in row["imagenet"].split(";") if index),
        }
        return Concept(**(row | typed))
    except LexiconError as error:
        raise LexiconError(f"{where}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise LexiconError(f"{where}: wrong columns or an unreadable value ({error!r})") from error


def _check_unique(what: str, owned: list[tuple[str | int, str]]) -> None:
    owners: dict[str | int, str] = {}
    for value, owner in owned:
        if value in owners:
            raise LexiconError(f"{what} {value!r} is used by both {owners[value]!r} and {owner!r}")
        owners[value] = owner
