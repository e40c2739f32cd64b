"""The places of scenes, with English and French phrases."""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

PLACES_CSV = Path(__file__).resolve().parent / "places.csv"
Kind = Literal["outdoor", "indoor", "surface"]


@dataclass(frozen=True)
class Place:
    """One place and its phrases in both languages.

    Attributes:
        id: snake_case name, the folder of its photographs.
        en: English prepositional phrase ("on a beach"); ``en_alt`` is another one for the same place.
        en_noun: English noun phrase ("a beach"), for "this is a beach with …".
        fr: French prepositional phrase ("sur une plage"); ``fr_alt`` and ``fr_noun`` as in English.
        kind: ``outdoor``, ``indoor``, or ``surface`` (a wall or a floor that fills the picture).
    """

    id: str
    en: str
    en_alt: str
    en_noun: str
    fr: str
    fr_alt: str
    fr_noun: str
    kind: Kind

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"place {self.id!r}: kind must be one of {get_args(Kind)}, got {self.kind!r}")
        if not all((self.id, *self.phrases("en"), *self.phrases("fr"))):
            raise ValueError(f"place {self.id!r}: every phrase must be given")

    def phrases(self, language: Literal["en", "fr"]) -> tuple[str, str, str]:
        """The prepositional phrase, its alternative and the noun phrase in one language."""
        return (self.en, self.en_alt, self.en_noun) if language == "en" else (self.fr, self.fr_alt, self.fr_noun)


@functools.cache
def load_places() -> dict[str, Place]:
    """Every place by id, in file order.

    Raises:
        ValueError: if an id is given twice or a row is not valid.
    """
    with PLACES_CSV.open(encoding="utf-8", newline="") as file:
        places = [Place(**row) for row in csv.DictReader(file)]
    by_id = {place.id: place for place in places}
    if len(by_id) != len(places):
        raise ValueError(f"{PLACES_CSV.name}: an id is given twice")
    return by_id
