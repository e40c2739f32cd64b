"""The examples: pictures or sounds in a folder, listed by its ``examples.json``."""

from __future__ import annotations

import html
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from ui.html import webp_uri
from ui.texts.texts import ENGLISH, Texts

# Two pixels of the file for each of the page's, for sharp displays.
_THUMBNAIL = (320, 213)


@dataclass(frozen=True)
class PageExample:
    """One example picture or sound.

    Attributes:
        title: a word or two under the thumbnail.
        alt: description of the picture or sound, for screen readers.
        credit: who made it and under which licence.
        thumbnail: a log-mel picture of a sound, as WEBP, where there is one.
    """

    file: Path
    title: str
    alt: str
    credit: str
    thumbnail: Path | None = None


def load_examples(folder: Path) -> tuple[PageExample, ...]:
    """The examples listed in ``folder/examples.json``, in its order; none where there is no such file.

    Raises:
        ValueError: an entry lacks a field, or names a file that is not in the folder.
    """
    listing = folder / "examples.json"
    if not listing.is_file():
        return ()
    examples = []
    for entry in json.loads(listing.read_text(encoding="utf-8")):
        if set(entry) - {"thumbnail"} != {"file", "title", "alt", "credit"}:
            raise ValueError(f"{listing}: each entry has file, title, alt and credit, not {sorted(entry)}")
        files = {field: folder / entry[field] for field in ("file", "thumbnail") if field in entry}
        for file in files.values():
            if file.resolve().parent != folder.resolve() or not file.is_file():
                raise ValueError(f"{listing}: {file.name} is not a file of that folder")
        examples.append(PageExample(title=entry["title"], alt=entry["alt"], credit=entry["credit"], **files))
    return tuple(examples)


def gallery_texts(examples: Sequence[PageExample], texts: Texts = ENGLISH) -> str:
    """The texts of the gallery, a line each: its heading, the title and the description of every example, "Play"."""
    lines = [texts("Or try one of these")]
    for example in examples:
        lines += [texts(example.title), texts(example.alt)]
    lines.append(texts("Play"))
    return "\n".join(html.escape(line) for line in lines)


def gallery_template(examples: Sequence[PageExample], opening: bool = False) -> str:
    """A grid of buttons with thumbnails; the button's ``data-index`` is the example's place among them.

    A template for ``gr.HTML`` with ``gallery_texts`` as its value: the thumbnails are sent once for all languages.

    Args:
        opening: whether the first one is compared when the tab is opened.
    """
    buttons = "".join(
        f'<li><button type="button" data-index="{index}" title="{html.escape(example.credit)}">'
        f"{_thumbnail(example, _line(2 * index + 2))}<span>{_line(2 * index + 1)}</span></button>"
        f"{_play(example, index)}</li>"
        for index, example in enumerate(examples)
    )
    mark = " data-opening" if opening else ""
    return f'<h2>{_line(0)}</h2><ul class="examples"{mark}>{buttons}</ul>'


def _line(number: int) -> str:
    return f'${{value.split("\\n").at({number})}}'


def _play(example: PageExample, index: int) -> str:
    """A button that plays a sound, which has a thumbnail of its own."""
    if example.thumbnail is None:
        return ""
    # "Play" and the title, which is the line of the example.
    label = f"{_line(-1)} {_line(2 * index + 1)}"
    return f'<button class="play" type="button" data-play="{index}" aria-label="{label}" title="{label}">▶</button>'


def _thumbnail(example: PageExample, alt: str) -> str:
    """A small copy of a picture, the log-mel picture of a sound, or nothing where neither can be had."""
    if example.thumbnail is not None:
        return f'<img class="log-mel" src="{webp_uri(example.thumbnail.read_bytes())}" alt="{alt}">'
    try:
        return f'<img src="{webp_uri(_small(example.file))}" alt="{alt}">'
    except UnidentifiedImageError:
        return f'<span class="sr-only">{alt}</span>'


def _small(file: Path) -> bytes:
    with Image.open(file) as image:
        small = ImageOps.fit(ImageOps.exif_transpose(image).convert("RGB"), _THUMBNAIL)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=80)
    return buffer.getvalue()
