"""The French annotator: clauses, contractions and elisions, and the sentence templates of ``fr-events``."""

from __future__ import annotations

from dataclasses import dataclass

from training.embedded.audio.world.lexicon import Clause
from training.embedded.audio.world.scene import Loudness, Tempo

TIMES = {1: "", 2: "deux fois", 3: "trois fois"}
DISTANCE = ("au loin", "dans le lointain")
LOUDLY = ("bruyamment",)
LOUDNESS_WORDS: dict[Loudness, tuple[str, ...]] = {"soft": DISTANCE, "normal": (), "loud": LOUDLY}
TUNES: dict[Tempo, str] = {"slow": "un air lent", "fast": "un air rapide"}
RHYTHMS: dict[Tempo, str] = {"slow": "un rythme lent", "fast": "un rythme rapide"}

# As in english.py: {a} "un chien aboie", {a.rel} "un chien qui aboie", {a.of} "d'un chien qui aboie",
# {a.que} "qu'un chien aboie".
EVENT_TEMPLATES: dict[tuple[str, int], tuple[str, ...]] = {
    ("sequence", 1): (
        "{a}",
        "on entend {a.rel}",
        "voici {a.rel}",
        "le bruit {a.of}",
        "il y a {a.rel}",
    ),
    ("sequence", 2): (
        "{a}, puis {b}",
        "{a}, ensuite {b}",
        "d'abord {a}, puis {b}",
        "on entend {a.rel}, puis {b.rel}",
        "{b} après le bruit {a.of}",
        "le bruit {a.of}, puis {b.of}",
    ),
    ("together", 2): (
        "{a} et {b} en même temps",
        "{a} tandis {b.que}",
        "on entend à la fois {a.rel} et {b.rel}",
        "le bruit {a.of} et {b.of}",
        "{a} alors {b.que}",
    ),
    ("sequence", 3): (
        "{a}, puis {b}, puis {c}",
        "d'abord {a}, puis {b} et enfin {c}",
        "on entend {a.rel}, puis {b.rel}, puis {c.rel}",
        "le bruit {a.of}, puis {b.of} et enfin {c.of}",
        "{a}, ensuite {b} et à la fin {c}",
    ),
    ("together", 3): (
        "{a}, {b} et {c} en même temps",
        "{a} tandis {b.que} et {c.que}",
        "on entend à la fois {a.rel}, {b.rel} et {c.rel}",
        "le bruit {a.of}, {b.of} et {c.of}",
        "{a} alors {b.que} et {c.que}",
    ),
}
BACKGROUNDS = (
    "{main} pendant {background.que}",
    "{main}, avec {background.rel} en fond sonore",
    "{main} ; en fond, {background}",
)
BACKGROUND_ALONE = ("{background}", "on entend {background.rel}", "le bruit {background.of}", "voici {background.rel}")

_VOWELS = "aeiouyâàéèêëîïôœû"
# "de" before a noun phrase: it contracts with the definite article and swallows partitive and plural ones.
_AFTER_DE = {"le ": "du ", "les ": "des ", "des ": "de ", "du ": "de ", "de la ": "de ", "de l'": "d'"}


@dataclass(frozen=True)
class FrenchClause:
    """ "un chien aboie deux fois au loin", as a sentence (``str``) and in the forms the templates use."""

    subject: str
    verb: str
    tail: str = ""

    def _joined(self, *parts: str) -> str:
        return " ".join(part for part in (*parts, self.tail) if part)

    def __str__(self) -> str:
        return self._joined(self.subject, self.verb)

    @property
    def rel(self) -> str:
        return self._joined(self.subject, "qui", self.verb)

    @property
    def of(self) -> str:
        return self._joined(de_fr(self.subject), "qui", self.verb)

    @property
    def que(self) -> str:
        return que_fr(str(self))


def de_fr(phrase: str) -> str:
    """The noun phrase after "de": "d'un chien", "du tonnerre", "de la pluie", "d'eau", "de gens", "d'épées"."""
    for article, contracted in _AFTER_DE.items():
        if phrase.startswith(article):
            noun = phrase[len(article) :]
            return f"d'{noun}" if contracted == "de " and noun[0] in _VOWELS else contracted + noun
    return f"d'{phrase}" if phrase[0] in _VOWELS else f"de {phrase}"


def que_fr(clause: str) -> str:
    """The clause after "que", elided before a vowel: "qu'un chien aboie", "que la pluie tombe"."""
    return f"qu'{clause}" if clause[0] in _VOWELS else f"que {clause}"


def clause_fr(clause: Clause, *, tune: str = "", times: int = 1, loudness: str = "") -> FrenchClause:
    """A clause with its adverbs: "bruyamment deux fois", "deux fois au loin"."""
    number = TIMES[times]
    adverbs = (tune, loudness, number) if loudness in LOUDLY else (tune, number, loudness)
    return FrenchClause(clause.fr, clause.verbe, " ".join(word for word in adverbs if word))
