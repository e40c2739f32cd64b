"""One comparison on a slide of 1920 x 1080: where each line, box and picture stands, from measured widths of text.

``png.draw`` and ``svg.draw`` show the same layout; no browser takes part.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageFont

from lora_mcl.errors import printable
from lora_mcl.log_mel_picture import log_mel_webp
from lora_mcl.texts import ENGLISH, Texts
from lora_mcl.types import ColumnResult, Comparison

WIDTH, HEIGHT = 1920, 1080
"""Size of a slide, in pixels."""

Face = Literal["sans", "bold", "serif"]

FONT_FILES: dict[Face, str] = {"sans": "DejaVuSans.ttf", "bold": "DejaVuSans-Bold.ttf", "serif": "DejaVuSerif.ttf"}

# The page's colours by day (ui/style.css).
PAPER, INK, SOFT, LINE, WASH = "#faf9f6", "#1f1d1a", "#66605a", "#e2ddd5", "#f3f0ea"
ACCENTS = ("#0068a8", "#b34700", "#007a5a", "#9c3d75", "#7a6300", "#2b6f8f")

_MARGIN = 84
_PICTURE = (620, 760)  # the most that the picture takes
_SPECTROGRAM = (1240, 640)
_GAP = 70
# Text is set as large as it fits, down to the last of these; what still does not fit ends in an ellipsis.
_SCALES = (1.3, 1.15, 1.0, 0.92, 0.84, 0.76, 0.68, 0.6, 0.52)
_MAX_CAPTIONS = 3  # of each baseline


@dataclass(frozen=True)
class TextLine:
    """A line of text; ``y`` is its baseline, ``size`` its font size, in pixels."""

    x: float
    y: float
    text: str
    size: float
    face: Face
    colour: str


@dataclass(frozen=True)
class Box:
    """A filled rectangle with rounded corners."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    radius: float = 0.0


@dataclass(frozen=True)
class PictureBox:
    """Where the picture stands; it has the box's proportions."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Slide:
    """The layout: boxes are below lines; ``picture`` and ``image`` are None together."""

    boxes: tuple[Box, ...]
    lines: tuple[TextLine, ...]
    picture: PictureBox | None
    image: Image.Image | None
    title: str


@lru_cache(maxsize=64)
def font(face: Face, size: float) -> ImageFont.FreeTypeFont:
    """One of the fonts that come with the library."""
    return ImageFont.truetype(Path(__file__).parent / "fonts" / FONT_FILES[face], size)


def width_of(text: str, face: Face, size: float) -> float:
    """Width of a line, in pixels."""
    return font(face, size).getlength(text)


def _width_to(word: str, face: Face, size: float, end: int) -> float:
    return width_of(word[:end], face, size)


def wrapped(text: str, face: Face, size: float, width: float) -> list[str]:
    """Lines of at most ``width`` pixels, broken between words, and within a word that is wider than a line."""
    lines: list[str] = []
    for word in text.split():
        if lines and width_of(f"{lines[-1]} {word}", face, size) <= width:
            lines[-1] += f" {word}"
            continue
        while width_of(word, face, size) > width and len(word) > 1:
            fitting = max(1, bisect_right(range(len(word)), width, key=partial(_width_to, word, face, size)) - 1)
            lines.append(word[:fitting])
            word = word[fitting:]
        lines.append(word)
    return lines


def slide_of(comparison: Comparison, image: Image.Image | None = None, texts: Texts = ENGLISH) -> Slide:
    """Lay out a comparison: the picture on the left, the hypotheses large, the baselines below.

    Args:
        image: the picture, or of a sound its spectrogram; without one the text takes the whole width.
        texts: the language of the columns' names.
    """
    title = printable(comparison.media)
    boxes: list[Box] = []
    picture, left = None, float(_MARGIN)
    if image is not None:
        scale = min(_PICTURE[0] / image.width, _PICTURE[1] / image.height)
        width, height = image.width * scale, image.height * scale
        picture = PictureBox(_MARGIN, (HEIGHT - height) / 2, width, height)
        left += width + _GAP
    for scale in _SCALES:
        text = _Text(left, WIDTH - _MARGIN, scale, texts)
        text.comparison(comparison)
        if text.bottom <= HEIGHT - _MARGIN - 40:
            break
    down = max(0.0, (HEIGHT - 60 - text.bottom - _MARGIN) / 2)
    lines = [TextLine(line.x, line.y + down, line.text, line.size, line.face, line.colour) for line in text.lines]
    boxes += [Box(box.x, box.y + down, box.width, box.height, box.colour, box.radius) for box in text.boxes]
    lowest = HEIGHT - _MARGIN - 30
    kept = [line for line in lines if line.y <= lowest]
    if len(kept) < len(lines):
        last = kept[-1]
        kept[-1] = TextLine(last.x, last.y, f"{last.text} …", last.size, last.face, last.colour)
    footer = f"LoRA-MCL Studio · {printable(comparison.model)} · {title}"
    kept.append(TextLine(_MARGIN, HEIGHT - 40, _shortened(footer, "sans", 18, WIDTH - 2 * _MARGIN), 18, "sans", SOFT))
    return Slide(tuple(box for box in boxes if box.y + box.height <= lowest + 20), tuple(kept), picture, image, title)


def spectrogram(log_mel: np.ndarray) -> Image.Image:
    """The picture of a sound: its log-mel spectrogram [bins, frames] as ink on paper, high pitch on top."""
    with Image.open(io.BytesIO(log_mel_webp(log_mel))) as ink:
        picture = Image.new("RGBA", ink.size, WASH)
        picture.alpha_composite(ink.convert("RGBA"))
    return picture.convert("RGB").resize(_SPECTROGRAM, Image.Resampling.BILINEAR)


def _shortened(text: str, face: Face, size: float, width: float) -> str:
    """The text, cut with an ellipsis where it is wider."""
    if width_of(text, face, size) <= width:
        return text
    fitting = bisect_right(range(len(text)), width, key=lambda end: width_of(f"{text[:end]} …", face, size)) - 1
    return f"{text[: max(0, fitting)]} …"


class _Text:
    """The slide's text, set from top to bottom between two edges at one scale."""

    def __init__(self, left: float, right: float, scale: float, texts: Texts) -> None:
        self.left, self.right, self.scale, self.texts = left, right, scale, texts
        self.bottom = float(_MARGIN)
        self.lines: list[TextLine] = []
        self.boxes: list[Box] = []

    def comparison(self, comparison: Comparison) -> None:
        """Set the hypotheses below one another, then the baselines next to one another."""
        hypotheses = [column for column in comparison.columns if column.method == "hypothesis"]
        baselines = [column for column in comparison.columns if column.method != "hypothesis"]
        for column in hypotheses:
            self._hypothesis(column)
        if baselines:
            self._rule()
            self._baselines(baselines)

    def _hypothesis(self, column: ColumnResult) -> None:
        number = column.number
        scale, colour, top = self.scale, ACCENTS[number % len(ACCENTS)], self.bottom
        inset = self.left + 30 * scale
        self._paragraph(f"{number + 1}  {self.texts(column.label)}", "bold", 22, colour, inset, self.right)
        self.bottom += 6 * scale
        for caption in column.captions or ():
            self._paragraph(caption.text or self.texts("(no words)"), "serif", 38, INK, inset, self.right)
        self.boxes.append(Box(self.left, top + 4 * scale, 6 * scale, self.bottom - top, colour, 3 * scale))
        self.bottom += 34 * scale

    def _rule(self) -> None:
        self.boxes.append(Box(self.left, self.bottom, self.right - self.left, 2, LINE))
        self.bottom += 30 * self.scale

    def _baselines(self, columns: Sequence[ColumnResult]) -> None:
        gap = 40 * self.scale
        width = (self.right - self.left - gap * (len(columns) - 1)) / len(columns)
        top, lowest = self.bottom, self.bottom
        for place, column in enumerate(columns):
            self.bottom, left = top, self.left + place * (width + gap)
            self._paragraph(self.texts(column.label), "bold", 20, SOFT, left, left + width)
            self.bottom += 4 * self.scale
            for caption in column.captions[:_MAX_CAPTIONS]:
                self._paragraph(caption.text or self.texts("(no words)"), "serif", 24, INK, left, left + width)
                self.bottom += 8 * self.scale
            lowest = max(lowest, self.bottom)
        self.bottom = lowest

    def _paragraph(self, text: str, face: Face, size: float, colour: str, left: float, right: float) -> None:
        size *= self.scale
        for line in wrapped(printable(" ".join(text.split())), face, size, right - left):
            self.bottom += size * 1.34
            self.lines.append(TextLine(left, self.bottom - size * 0.3, line, size, face, colour))
