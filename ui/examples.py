"""The examples: pictures or sounds in a folder, listed by its ``examples.json``."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

# Two pixels of the file for each of the page's, for sharp displays.
_THUMBNAIL = (320, 213)


@dataclass(frozen=True)
class Example:
    """One example picture or sound.

    Attributes:
        title: a word or two under the thumbnail.
        alt: description of the picture or sound, for screen readers.
        credit: who made it and under which licence.
    """

    file: Path
    title: str
    alt: str
    credit: str


def load_examples(folder: Path) -> tuple[Example, ...]:
    """The examples listed in ``folder/examples.json``, in its order; none where there is no such file.

    Raises:
        ValueError: an entry lacks a field, or names a file that is not in the folder.
    """
    listing = folder / "examples.json"
    if not listing.is_file():
        return ()
    examples = []
    for entry in json.loads(listing.read_text(encoding="utf-8")):
        if set(entry) != {"file", "title", "alt", "credit"}:
            raise ValueError(f"{listing}: each entry has file, title, alt and credit, not {sorted(entry)}")
        file = folder / entry["file"]
        if file.resolve().parent != folder.resolve() or not file.is_file():
            raise ValueError(f"{listing}: {entry['file']} is not a file of that folder")
        examples.append(Example(file, entry["title"], entry["alt"], entry["credit"]))
    return tuple(examples)


@dataclass(frozen=True)
class Thumbnail:
    """A small picture of an example: its data URI, and its class in the style sheet."""

    uri: str
    kind: str = ""


def gallery_html(examples: Sequence[Example], thumbnails: Sequence[Thumbnail]) -> str:
    """A grid of buttons with thumbnails; the button's ``data-index`` is the example's place among them."""
    buttons = "".join(
        f'<li><button type="button" data-index="{index}" title="{html.escape(example.credit)}">'
        f'<img class="{thumbnail.kind}" src="{thumbnail.uri}" alt="{html.escape(example.alt)}">'
        f"<span>{html.escape(example.title)}</span></button></li>"
        for index, (example, thumbnail) in enumerate(zip(examples, thumbnails, strict=True))
    )
    return f'<h2>Or try one of these</h2><ul class="examples">{buttons}</ul>'


def thumbnail_uri(file: Path) -> str:
    """A small copy of a picture as a data URI: the page then needs no access to the folder to show it."""
    with Image.open(file) as image:
        small = ImageOps.fit(ImageOps.exif_transpose(image).convert("RGB"), _THUMBNAIL)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=80)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
