"""The two media a page can caption, in the page's words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Medium:
    """How one kind of medium is called on the page.

    Attributes:
        name: ``image`` or ``audio``; the captioner's ``modality``, and the start of its widgets' ids.
        tab: the tab's title.
        noun: what a visitor calls one of them.
        waiting: what a column says before its first word.
        missing: what is said when there is nothing to caption.
        own: the line of the guide on what happens to a visitor's files.
    """

    name: str
    tab: str
    noun: str
    waiting: str
    missing: str
    own: str


IMAGE = Medium(
    name="image",
    tab="Image",
    noun="picture",
    waiting="Looking at the picture …",
    missing="Choose a picture first: upload or paste one, or click an example.",
    own="Pictures",
)
AUDIO = Medium(
    name="audio",
    tab="Audio",
    noun="sound",
    waiting="Listening …",
    missing="Choose a sound first: upload or record one, or click an example.",
    own="Recordings",
)


def medium_of(modality: str) -> Medium:
    """The medium that a captioner of ``modality`` takes; ``KeyError`` if there is none."""
    return {IMAGE.name: IMAGE, AUDIO.name: AUDIO}[modality]
