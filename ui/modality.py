"""The two modalities that the page can caption, with the words it uses for them."""

from __future__ import annotations

from dataclasses import dataclass

from lora_mcl.phrases import Phrase


@dataclass(frozen=True)
class ModalityText:
    """Name and wording of a modality.

    Attributes:
        name: ``image`` or ``audio``; the bundle's ``modality``, and the prefix of the tab's element ids.
        tab: the tab's title.
        noun: what a visitor calls one input.
        article: the same with its article.
        waiting: status of a column before its first word.
        missing: error when there is no input.
        own: the guide's heading for what happens to a visitor's files.
        together: the guide's sentence on how the hypotheses share one reading of it.
    """

    name: str
    tab: str
    noun: str
    article: str
    waiting: str
    missing: str
    own: str
    together: str


IMAGE = ModalityText(
    name="image",
    tab="Image",
    noun="picture",
    article=Phrase("a picture"),
    waiting=Phrase("Looking at the picture …"),
    missing=Phrase("Choose a picture first: upload or paste one, or click an example."),
    own=Phrase("Pictures"),
    together=Phrase(
        "Here they share one reading of the picture and write at the same time, one token after the other.",
    ),
)
AUDIO = ModalityText(
    name="audio",
    tab="Audio",
    noun="sound",
    article=Phrase("a sound"),
    waiting=Phrase("Listening …"),
    missing=Phrase("Choose a sound first: upload or record one, or click an example."),
    own=Phrase("Recordings"),
    together=Phrase("Here they share one reading of the sound and write at the same time, one token after the other."),
)
