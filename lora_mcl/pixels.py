"""From any picture that Pillow opens to the one form models take: upright, opaque, 8-bit RGB, without metadata."""

from __future__ import annotations

import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import TiffImageFile

from lora_mcl.phrases import Phrase

# How to turn a picture upright, by its EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Depths that cameras and scanners store in larger words.
_DEPTHS = (8, 10, 12)
_BLACK = 8
"""A picture whose largest value of 0 to 255 is below this looks black."""
_LARGEST_SAMPLE = (281, 341)  # TIFF's MaxSampleValue and SMaxSampleValue


def upright_rgb(image: Image.Image, name: str) -> tuple[Image.Image, tuple[str, ...]]:
    """Apply the EXIF orientation, bring values to 8 bits, lay on white where transparent.

    Args:
        image: left as it is.
        name: what notices call it.

    Returns:
        A new image of mode RGB without ``info``, and notices: sentences for the user about guesses that were made.

    Raises:
        Exception: any error of Pillow's on damaged data.
    """
    image.load()  # Pillow turns a TIFF itself as it decodes it, and drops the orientation
    turn = _TURNS.get(_orientation(image))
    notices: tuple[str, ...] = ()
    if image.mode == "F" or image.mode.startswith("I"):
        image, notices = _to_grey(image, name)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB") if image.mode != "RGB" else image.copy()
    if turn is not None:
        image = image.transpose(turn)
    image.info = {}
    if not notices and max(high for _, high in image.getextrema()) < _BLACK:
        notices = (Phrase("{name} looks black: its largest value is below {limit} of 255.", name=name, limit=_BLACK),)
    return image, notices


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none or it cannot be read."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        # Metadata that no program can read must not refuse a picture that every viewer shows.
        return 1


def _to_grey(image: Image.Image, name: str) -> tuple[Image.Image, tuple[str, ...]]:
    """Grey values of more than 8 bits, integers or floats, as mode L: by the range the file states, or holds."""
    values = np.asarray(image).astype(np.float64)  # [H, W]
    finite = np.isfinite(values)
    notices = []
    if not finite.all():
        notices.append(Phrase("{name} has values that are no numbers: they were taken for black.", name=name))
    if not finite.any():
        return Image.new("L", image.size), tuple(notices)
    low, high = float(values[finite].min()), float(values[finite].max())
    black, white, guessed = _range(image, low, high)
    if guessed:
        notices.append(
            Phrase(
                "{name} holds values from {low:g} to {high:g} and does not state their range: {black:g} to {white:g} "
                "was taken for black to white.",
                name=name,
                low=low,
                high=high,
                black=black,
                white=white,
            )
        )
    # Whole numbers of n bits are shifted to 8 (65535 of 2^16 is 255, and so is 65280); others are stretched.
    scale = 255 / (white - black) if white == 1 or black != 0 else 256 / (white + 1)
    grey = np.where(finite, (values - black) * scale, 0)
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)), tuple(notices)


def _range(image: Image.Image, low: float, high: float) -> tuple[float, float, bool]:
    """The values of black and of white, and whether they are a guess.

    Args:
        low, high: the smallest and largest value of the picture.
    """
    stated = _stated_white(image)
    if stated is not None and low >= 0 and high <= stated:
        return 0, stated, False
    if low < 0 or high >= 1 << 16:  # no usual range: stretched to what it holds
        return low, high if high > low else low + 1, True
    if image.mode == "F" and high <= 1:
        return 0, 1, True
    for bits in _DEPTHS:
        if high < 1 << bits:
            return 0, (1 << bits) - 1, True
    return 0, (1 << 16) - 1, not image.mode.startswith("I;16")


def _stated_white(image: Image.Image) -> float | None:
    """The largest value that a TIFF's header states, if it does."""
    if not isinstance(image, TiffImageFile):
        return None
    for tag in _LARGEST_SAMPLE:
        value = image.tag_v2.get(tag)
        value = value[0] if isinstance(value, tuple) and value else value
        if isinstance(value, int | float) and value > 0:
            return float(value)
    return None
