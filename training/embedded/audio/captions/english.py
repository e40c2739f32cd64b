"""The English annotators: clauses and the sentence templates of ``en-events`` and ``en-scene``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training.embedded.audio.world.lexicon import Clause
from training.embedded.audio.world.scene import Loudness, Tempo

TIMES = {1: "", 2: "twice", 3: "three times"}
DISTANCE = ("in the distance", "far away")
LOUDLY = ("loudly",)
LOUDNESS_WORDS: dict[Loudness, tuple[str, ...]] = {"soft": DISTANCE, "normal": (), "loud": LOUDLY}
TUNES: dict[Tempo, str] = {"slow": "a slow tune", "fast": "a fast tune"}
RHYTHMS: dict[Tempo, str] = {"slow": "a slow rhythm", "fast": "a fast rhythm"}

# Templates of ``en-events`` by layout and number of events, in order of onset. {a} is a clause ("a dog barks"),
# {a.ing} its -ing form ("a dog barking"). Every template is true of every scene of its kind. None uses "while":
# that is how the background is added.
EVENT_TEMPLATES: dict[tuple[str, int], tuple[str, ...]] = {
    ("sequence", 1): (
        "{a}",
        "{a.ing}",
        "the sound of {a.ing}",
        "you can hear {a.ing}",
        "we hear {a.ing}",
    ),
    ("sequence", 2): (
        "{a}, then {b}",
        "{a} before {b}",
        "{a.ing} followed by {b.ing}",
        "first {a}, then {b}",
        "you can hear {a.ing}, then {b.ing}",
        "{b} after {a}",
    ),
    ("together", 2): (
        "{a} and {b} at the same time",
        "{a.ing} and {b.ing} together",
        "{a} as {b}",
        "we hear both {a.ing} and {b.ing}",
        "you can hear {a.ing} over {b.ing}",
    ),
    ("sequence", 3): (
        "{a}, then {b}, then {c}",
        "first {a}, then {b} and finally {c}",
        "{a.ing} followed by {b.ing} and {c.ing}",
        "you can hear {a.ing}, then {b.ing}, then {c.ing}",
        "{a}, after that {b}, and in the end {c}",
    ),
    ("together", 3): (
        "{a}, {b} and {c} at the same time",
        "{a.ing}, {b.ing} and {c.ing} together",
        "we hear {a.ing}, {b.ing} and {c.ing} all at once",
        "{a} as {b} and {c}",
        "you can hear {a.ing} over {b.ing} and {c.ing}",
    ),
}
# How a background is added; {background} is its clause, {main} the sentence so far.
BACKGROUNDS = (
    "{main} while {background}",
    "{main}, with {background.ing} in the background",
    "{main}; in the background, {background}",
)
# A recording of a background alone.
BACKGROUND_ALONE = (
    "{background}",
    "{background.ing}",
    "the sound of {background.ing}",
    "you can hear {background.ing}",
)

# Templates of ``en-scene``. {mood} is an adjective, {a_mood} the same after its article, {place} "by a stream",
# {foreground} "bird calls and music", {texture} "with sounds that overlap".
SCENE_TEMPLATES: tuple[str, ...] = (
    "{a_mood} scene {place}, filled with {foreground}",
    "{place}, {a_mood} scene of {foreground}",
    "the mood is {mood}: {foreground} {place}, {texture}",
    "{a_mood} atmosphere {place}, {texture}",
    "this recording feels {mood}: {foreground} {place}",
    "{a_mood} recording made {place}, {texture}",
    "{foreground} {place}; the atmosphere is {mood}",
)
TEXTURES: dict[str, tuple[str, ...]] = {
    "none": ("without any event",),
    "single": ("with a single sound", "with one lone sound"),
    "repeated": ("with a repeated sound", "with one recurring sound"),
    "sequence": ("with separate sounds", "with sounds taking turns"),
    "together": ("with overlapping sounds", "with layered sounds"),
}
NO_FOREGROUND = "nothing but ambience"
UNKNOWN_FOREGROUND = "sounds hard to name"


@dataclass(frozen=True)
class EnglishClause:
    """ "a dog barks twice in the distance", as a sentence (``str``) and in its -ing form."""

    subject: str
    verb: str
    participle: str
    tail: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.subject, self.verb, self.tail) if part)

    @property
    def ing(self) -> str:
        return " ".join(part for part in (self.subject, self.participle, self.tail) if part)


def article_en(word: str) -> str:
    """The indefinite article before a mood word."""
    return "an" if word[0] in "aeio" else "a"


def clause_en(clause: Clause, *, tune: str = "", times: int = 1, loudness: str = "") -> EnglishClause:
    """A clause with its adverbs: manner, then number, then distance ("loudly twice", "twice in the distance")."""
    number = TIMES[times]
    adverbs = (tune, loudness, number) if loudness in LOUDLY else (tune, number, loudness)
    return EnglishClause(clause.en, clause.verb, clause.ing, " ".join(word for word in adverbs if word))


def join_en(words: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
