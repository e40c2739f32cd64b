"""A visitor's file on its way to the machine that captions it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lora_mcl.errors import MediaError
from lora_mcl.types import Media


@dataclass(frozen=True)
class SentFile:
    """A file's name and content."""

    name: str
    content: bytes


def to_send(media: Media) -> Media | SentFile:
    """Media that another machine can read: the content of a file, any other input unchanged.

    Raises:
        MediaError: the file cannot be read.
    """
    if not isinstance(media, str | Path):
        return media
    try:
        return SentFile(Path(media).name, Path(media).read_bytes())
    except OSError as error:
        raise MediaError(f"{Path(media).name} cannot be read: {error.strerror}.") from None


@contextmanager
def received(media: Media | SentFile) -> Iterator[Media]:
    """The media that was sent; a file exists under its name inside the block."""
    if not isinstance(media, SentFile):
        yield media
        return
    with tempfile.TemporaryDirectory(prefix="lora-mcl-") as folder:
        # Of the name only the last part: it comes from outside.
        file = Path(folder) / (Path(media.name).name or "file")
        file.write_bytes(media.content)
        yield file
