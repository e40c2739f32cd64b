"""A scene of things, from which both the annotators' captions and the picture are made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Size = Literal["small", "normal", "large"]
Slot = Literal["left", "middle", "right"]
SLOTS: tuple[Slot, ...] = ("left", "middle", "right")
MAX_COUNT = 3

_MIRROR: dict[Slot, Slot] = {"left": "right", "middle": "middle", "right": "left"}


@dataclass(frozen=True)
class Thing:
    """One kind of object in a scene: ``count`` copies of ``concept`` standing in one ``slot``."""

    concept: str
    count: int = 1
    size: Size = "normal"
    slot: Slot = "middle"

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_COUNT:
            raise ValueError(f"count must be between 1 and {MAX_COUNT}, got {self.count}")


@dataclass(frozen=True)
class Scene:
    """A place (None where it is unknown) and up to three kinds of objects in it, from left to right."""

    place: str | None
    things: tuple[Thing, ...]

    def __post_init__(self) -> None:
        slots = [thing.slot for thing in self.things]
        if slots != sorted(set(slots), key=SLOTS.index):
            raise ValueError(f"a scene has at most 3 things, in different slots, left to right; got {slots}")
        if len({thing.concept for thing in self.things}) != len(self.things):
            raise ValueError("a scene's things must be different concepts")

    def mirrored(self) -> Scene:
        """The scene seen in a mirror: left and right exchanged."""
        return Scene(self.place, tuple(replace(t, slot=_MIRROR[t.slot]) for t in reversed(self.things)))
