"""The two modalities that the page can caption, with the words it uses for them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModalityText:
    """Name and wording of a modality.

    Attributes:
        name: ``image`` or ``audio``; the bundle's ``modality``, and the prefix of the tab's element ids.
        tab: the tab's title.
        noun: what a visitor calls one input.
        waiting: status of a column before its first word.
        missing: error when there is no input.
        own: the guide's heading for what happens to a visitor's files.
    """

    name: str
    tab: str
    noun: str
    waiting: str
    missing: str
    own: str


IMAGE = ModalityText(
    name="image",
    tab="Image",
    noun="picture",
    waiting="Looking at the picture …",
    missing="Choose a picture first: upload or paste one, or click an example.",
    own="Pictures",
)
AUDIO = ModalityText(
    name="audio",
    tab="Audio",
    noun="sound",
    waiting="Listening …",
    missing="Choose a sound first: upload or record one, or click an example.",
    own="Recordings",
)
