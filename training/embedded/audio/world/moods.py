"""The mood of a scene: the mood of its most expressive sound."""

from __future__ import annotations

from training.embedded.audio.world.lexicon import Lexicon, Mood
from training.embedded.audio.world.scene import Event, Scene

STRONGEST_FIRST: tuple[Mood, ...] = ("tense", "eerie", "lively", "playful", "busy", "peaceful", "plain")
"""One scream makes a birthday tense; bird song in a workshop leaves it busy."""

# Three English adjectives each. No two moods share one, and no place holds one: the parser relies on it.
MOOD_WORDS: dict[Mood, tuple[str, ...]] = {
    "tense": ("tense", "alarming", "dramatic"),
    "eerie": ("eerie", "ghostly", "mysterious"),
    "lively": ("lively", "cheerful", "festive"),
    "playful": ("playful", "funny", "comical"),
    "busy": ("busy", "hectic", "bustling"),
    "peaceful": ("peaceful", "calm", "relaxing"),
    "plain": ("ordinary", "neutral", "everyday"),
}


def event_mood(lexicon: Lexicon, event: Event) -> Mood:
    """The sound's own mood, but a fast tune is lively and a slow one peaceful on any instrument."""
    if event.tempo is not None:
        return "lively" if event.tempo == "fast" else "peaceful"
    return lexicon.sounds[event.sound].mood


def possible_moods(lexicon: Lexicon, scene: Scene) -> set[Mood]:
    """The moods of all the scene's sounds, any of which a caption may name; plain where there is no background."""
    behind: Mood = "plain" if scene.background is None else lexicon.sounds[scene.background].mood
    return {behind, *(event_mood(lexicon, event) for event in scene.events)}


def scene_mood(lexicon: Lexicon, scene: Scene) -> Mood:
    """The strongest mood among the scene's sounds, its background included."""
    moods = {event_mood(lexicon, event) for event in scene.events}
    if scene.background is not None:
        moods.add(lexicon.sounds[scene.background].mood)
    return next(mood for mood in STRONGEST_FIRST if mood in moods or mood == "plain")
