"""An example: an image or sound with its reference captions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lora_mcl.errors import LoraMclError
from lora_mcl.modality import Modality

logger = logging.getLogger(__name__)


ENDINGS: dict[Modality, frozenset[str]] = {
    "image": frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}),
    "audio": frozenset(
        {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".aif", ".aiff", ".wma", ".webm", ".mp4"}
    ),
}


class DataError(LoraMclError):
    """Training data that are missing, malformed or of the wrong kind."""


class StoredMedia(Protocol):
    """Media that are no file of their own, such as a cell of a dataset."""

    @property
    def name(self) -> str:
        """For messages; its ending shows the format, where it has one."""

    def read(self) -> bytes:
        """The encoded file.

        Raises:
            MediaError: there is none.
        """


@dataclass(frozen=True)
class Example:
    """An image or sound with its captions.

    Attributes:
        media: an image or sound file, decoded only when a batch is made.
        captions: its reference captions, at least one, none empty.
        mode: which way of describing these captions follow (a language, an annotator), if known; for measuring only,
            no training code reads it. Media described in several modes are several examples.
    """

    media: Path | StoredMedia
    captions: tuple[str, ...]
    mode: str | None = None

    def __post_init__(self) -> None:
        if not self.captions or not all(caption.strip() for caption in self.captions):
            raise DataError(f"{self.name} has no caption, or an empty one")

    @property
    def name(self) -> str:
        """For messages."""
        return str(self.media) if isinstance(self.media, Path) else self.media.name


def group_captions(rows: Sequence[tuple[Path | StoredMedia, Sequence[str], str | None]], where: str) -> list[Example]:
    """Examples from (media, captions, mode) rows: rows of the same media and mode are one example; empty captions are
    left out, and media that have no other counted in a warning."""
    groups: dict[tuple[Path | StoredMedia, str | None], list[str]] = {}
    for media, captions, mode in rows:
        groups.setdefault((media, mode), []).extend(" ".join(text.split()) for text in captions)
    examples, silent = [], []
    for (media, mode), captions in groups.items():
        kept = tuple(dict.fromkeys(caption for caption in captions if caption))
        if kept:
            examples.append(Example(media, kept, mode))
        else:
            silent.append(media)
    if silent:
        some = ", ".join(media.name for media in silent[:3])
        logger.warning("%s: %d media have no caption and are left out: %s", where, len(silent), some)
    return examples


def existing(path: str | Path, what: str) -> Path:
    """The path, which must be there.

    Raises:
        DataError: it is not.
    """
    found = Path(path).expanduser()
    if not found.exists():
        raise DataError(f"There is no {what} {found}: check the path")
    return found
