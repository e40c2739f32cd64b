"""The sounds the embedded captioner knows, with all that a grammar needs to name them in two languages.

Tables written by hand: ``lexicon.csv`` (a row is one sound: an *event*, an instrument's *music*, *speech*,
or a continuous *background*), ``families.csv`` (the broader word each falls under) and ``places.csv``
(where a recording with a given background seems to be made).
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

HERE = Path(__file__).resolve().parent
LEXICON_CSV, FAMILIES_CSV, PLACES_CSV = (HERE / f"{name}.csv" for name in ("lexicon", "families", "places"))
SILENCE = "silence"
"""The place of a recording without background."""

Kind = Literal["event", "music", "speech", "background"]
Shape = Literal["short", "long"]
Mood = Literal["peaceful", "lively", "playful", "busy", "eerie", "tense", "plain"]

_ID = re.compile(r"[a-z][a-z0-9_]*")


class LexiconError(ValueError):
    """A table breaks one of its own rules; the message names the row and the rule."""


@dataclass(frozen=True)
class Clause:
    """Who makes the sound and what they do, in both languages.

    Attributes:
        en, verb, ing: "a dog", "barks", "barking"; an uncountable or plural subject has no article.
        fr, verbe: "un chien", "aboie"; with its article, which contracts and elides (``french.py``).
    """

    en: str
    verb: str
    ing: str
    fr: str
    verbe: str

    def __post_init__(self) -> None:
        values = [getattr(self, field.name) for field in fields(Clause)]
        if not all(value and value == " ".join(value.split()) for value in values):
            raise LexiconError(f"words must be non-empty and single-spaced: {values}")
        if not self.ing.split()[0].endswith("ing"):
            raise LexiconError(f"{self.ing!r} is no -ing form")


@dataclass(frozen=True)
class Sound:
    """One sound that can be named.

    Attributes:
        id: its name in code and in the other tables (ASCII, snake case).
        kind: what it is in a scene.
        family: the broader word it falls under.
        shape: ``short`` sounds can be counted ("twice"), ``long`` ones go on.
        clause: its words.
        mood: what it does to a scene's mood.
    """

    id: str
    kind: Kind
    family: str
    shape: Shape
    clause: Clause
    mood: Mood

    def __post_init__(self) -> None:
        rules = {
            "id must be snake case": _ID.fullmatch(self.id),
            "unknown kind": self.kind in get_args(Kind),
            "unknown shape": self.shape in get_args(Shape),
            "unknown mood": self.mood in get_args(Mood),
            "only events are short": self.shape == "long" or self.kind == "event",
        }
        broken = [rule for rule, holds in rules.items() if not holds]
        if broken:
            raise LexiconError(f"sound {self.id!r}: {'; '.join(broken)}")


@dataclass(frozen=True)
class Family:
    """A group of sounds: ``clause`` names one of them vaguely (None where no such words sound natural),
    ``sounds`` names them all, without a number ("animal sounds")."""

    id: str
    clause: Clause | None
    sounds: str


@dataclass(frozen=True)
class Place:
    """Where a recording with ``background`` (the sound's id, or ``silence``) seems to be made: two English phrases."""

    background: str
    en: str
    en_alt: str


@dataclass(frozen=True)
class Lexicon:
    """The tables, each by id."""

    sounds: Mapping[str, Sound]
    families: Mapping[str, Family]
    places: Mapping[str, Place]

    def __post_init__(self) -> None:
        for sound in self.sounds.values():
            if sound.family not in self.families:
                raise LexiconError(f"sound {sound.id!r}: unknown family {sound.family!r}")
            if sound.kind == "background" and sound.id not in self.places:
                raise LexiconError(f"background {sound.id!r} has no row in {PLACES_CSV.name}")
        if SILENCE not in self.places:
            raise LexiconError(f"{PLACES_CSV.name} has no row for {SILENCE}")

    def of_kind(self, *kinds: Kind) -> tuple[str, ...]:
        """Ids of the sounds of some kinds, in the table's order."""
        return tuple(sound.id for sound in self.sounds.values() if sound.kind in kinds)

    @property
    def events(self) -> tuple[str, ...]:
        """Ids of all that stands out of a background."""
        return self.of_kind("event", "music", "speech")

    @property
    def backgrounds(self) -> tuple[str, ...]:
        return self.of_kind("background")


def read_lexicon(sounds: Path = LEXICON_CSV, families: Path = FAMILIES_CSV, places: Path = PLACES_CSV) -> Lexicon:
    """Read and check the tables.

    Raises:
        LexiconError: on a malformed row, or an id or a clause used twice.
    """
    lexicon = Lexicon(
        _by_id(
            sounds,
            lambda row: Sound(row["id"], row["kind"], row["family"], row["shape"], _clause(row), row["mood"]),
        ),
        _by_id(families, lambda row: Family(row["id"], _clause(row) if row["en"] else None, row["sounds"])),
        _by_id(places, lambda row: Place(row["background"], row["en"], row["en_alt"]), key="background"),
    )
    owners: dict[tuple[str, str], str] = {}
    clauses = [(sound.id, sound.clause) for sound in lexicon.sounds.values()]
    clauses += [(family.id, family.clause) for family in lexicon.families.values() if family.clause]
    for owner, clause in clauses:
        for words in ((clause.en, clause.verb), (clause.en, clause.ing), (clause.fr, clause.verbe)):
            if owners.setdefault(words, owner) != owner:
                raise LexiconError(f"{' '.join(words)!r} is used by both {owners[words]!r} and {owner!r}")
    return lexicon


@functools.cache
def load_lexicon() -> Lexicon:
    """The project's own tables."""
    return read_lexicon()


def _clause(row: dict[str, str]) -> Clause:
    return Clause(*(row[field.name] for field in fields(Clause)))


def _by_id(path: Path, make, key: str = "id") -> dict:
    table = {}
    with path.open(encoding="utf-8", newline="") as opened:
        for line, row in enumerate(csv.DictReader(opened), start=2):
            try:
                entry = make(row)
            except LexiconError as error:
                raise LexiconError(f"{path.name} line {line}: {error}") from error
            except (KeyError, AttributeError) as error:
                raise LexiconError(f"{path.name} line {line}: wrong columns ({error!r})") from error
            if row[key] in table:
                raise LexiconError(f"{path.name} line {line}: {row[key]!r} is there twice")
            table[row[key]] = entry
    return table
