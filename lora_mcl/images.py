"""Reading what a user gives as an image: upright RGB of a sane size, or a ``MediaError`` that says why not.

Sounds are read in ``audio``; here is also what tells the two apart.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from lora_mcl.audio import read_blocks
from lora_mcl.errors import MediaError
from lora_mcl.modality import Modality
from lora_mcl.models import upright_rgb
from lora_mcl.types import AudioClip, Media

MAX_PIXELS = 50_000_000
MIN_SIDE = 8
MAX_ASPECT = 20
# Pillow reads more, but some readers (EPS) start other programs: no place for an upload.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")


def input_name(media: Media) -> str:
    """The name that results give it: the file's, or ``"image"`` or ``"audio"`` for one in memory."""
    if isinstance(media, Image.Image):
        return "image"
    return "audio" if isinstance(media, AudioClip) else Path(media).name


def modality_of(path: Path) -> Modality:
    """Whether a file is an image or a sound, as far as its beginning tells.

    Raises:
        MediaError: it is missing, empty, or neither.
    """
    try:
        with Image.open(path, formats=FORMATS):
            return "image"
    except (OSError, Image.DecompressionBombError):
        pass
    try:
        with closing(read_blocks(path)):
            return "audio"
    except MediaError:
        # A message about sounds fits one of the two only.
        if path.is_file() and path.stat().st_size:
            raise MediaError(f"{path.name} is neither an image nor a sound that this program can read.") from None
        raise


def load_image(media: Image.Image | str | Path) -> Image.Image:
    """Read an image: upright by its EXIF orientation, first frame, transparency on white, mode RGB.

    Raises:
        MediaError: it is missing, empty, not an image, damaged, or too large, too small or too narrow.
    """
    if isinstance(media, Image.Image):
        _check_size(media, "The image")
        return upright_rgb(media)
    path = Path(media)
    if not path.is_file():
        raise MediaError(f"There is no file {path}.")
    if path.stat().st_size == 0:
        raise MediaError(f"{path.name} is empty: choose another file.")
    try:
        with Image.open(path, formats=FORMATS) as image:
            # Only the header has been read: the size is checked before anything is decoded.
            _check_size(image, path.name)
            return upright_rgb(image)
    except UnidentifiedImageError:
        raise MediaError(
            f"{path.name} is not an image this program can read: give one as {', '.join(FORMATS)}."
        ) from None
    except Image.DecompressionBombError:
        raise MediaError(_too_large(path.name)) from None
    except OSError as error:
        raise MediaError(f"{path.name} cannot be opened: {error.strerror or error}.") from None


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise MediaError(_too_large(name))
    if min(width, height) < MIN_SIDE:
        raise MediaError(f"{name} is too small ({width} x {height}): each side needs {MIN_SIDE} pixels.")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise MediaError(f"{name} is too narrow ({width} x {height}): crop it to at most {MAX_ASPECT} to 1.")


def _too_large(name: str) -> str:
    return f"{name} is too large: at most {MAX_PIXELS // 1_000_000} million pixels. Scale it down and retry."
