"""A scene of sounds, from which both the annotators' captions and the recording are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from training.embedded.audio.annotation.timbre import Timbre

Loudness = Literal["soft", "normal", "loud"]
Tempo = Literal["slow", "fast"]
Layout = Literal["sequence", "together"]
Precision = Literal["sound", "family", "timbre"]
MAX_TIMES = 3
MAX_EVENTS = 3


@dataclass(frozen=True)
class Event:
    """One sound that stands out.

    Attributes:
        sound: its id.
        times: occurrences of a short sound; 1 for a long one.
        loudness: how loud it is.
        tempo: a tune's; None elsewhere or where it is neither slow nor fast.
        precision: how precisely annotators describe it (``annotation/precision.py``).
        timbre: how it sounds; None in a scene that was not rendered.
    """

    sound: str
    times: int = 1
    loudness: Loudness = "normal"
    tempo: Tempo | None = None
    precision: Precision = "sound"
    timbre: Timbre | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.times <= MAX_TIMES:
            raise ValueError(f"times must be between 1 and {MAX_TIMES}, got {self.times}")


@dataclass(frozen=True)
class Scene:
    """A background (the sound's id, None for silence) and up to three events in order of their onset.

    In a ``sequence`` each event ends before the next begins; ``together`` they overlap.
    """

    background: str | None
    events: tuple[Event, ...]
    layout: Layout = "sequence"

    def __post_init__(self) -> None:
        if len(self.events) > MAX_EVENTS:
            raise ValueError(f"a scene has at most {MAX_EVENTS} events, got {len(self.events)}")
        if len({event.sound for event in self.events}) != len(self.events):
            raise ValueError("a scene's events must be different sounds")
        if self.layout == "together" and len(self.events) < 2:
            raise ValueError("a single event cannot overlap another")
