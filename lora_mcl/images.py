"""Image preprocessing: from what a user gives to upright RGB of a sane size, or a ``MediaError`` that names the fault.

Sounds are read in ``audio``; ``modality_of`` distinguishes the two.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

import pillow_heif
from PIL import Image, UnidentifiedImageError

from lora_mcl.audio_readers import read_blocks
from lora_mcl.errors import MediaError, first_line
from lora_mcl.files import check_file
from lora_mcl.modality import Modality
from lora_mcl.phrases import Phrase
from lora_mcl.pixels import upright_rgb
from lora_mcl.types import AudioClip, Media

MAX_PIXELS = 50_000_000
BLANK_SPREAD = 8
"""The largest difference between two values of a colour channel, of 255, in an image that shows nothing."""
MIN_SIDE = 8
MAX_ASPECT = 20
# By Pillow's name, with what people call them. Pillow reads more, but some readers (EPS) start other programs.
FORMATS = {
    **{name: name for name in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")},
    **{"HEIF": "HEIC", "JPEG2000": "JPEG 2000"},
}
IMAGE_FORMATS = ", ".join(FORMATS.values())
"""What can be read, for messages."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Texts and profiles: Pillow refuses the picture if one is larger than 1 MB, such as a workflow of an image generator.
_PNG_METADATA = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")

pillow_heif.register_heif_opener()


def input_name(media: Media) -> str:
    """The name that results give an input: the file's, or ``"image"`` or ``"audio"`` for one in memory."""
    if isinstance(media, Image.Image):
        return "image"
    return "audio" if isinstance(media, AudioClip) else Path(media).name


def modality_of(path: Path) -> Modality:
    """Whether a file is an image or a sound, by its first bytes.

    Raises:
        MediaError: it is missing, empty, a folder, or neither.
    """
    check_file(path)
    try:
        with _opened(path):
            return "image"
    except Image.DecompressionBombError:
        return "image"
    except Exception:  # see _opened
        pass
    try:
        with closing(read_blocks(path)):
            return "audio"
    except MediaError:
        # A message about sounds fits one of the two only.
        raise MediaError(
            Phrase(
                "{name} is neither an image nor a sound that this program can read.",
                name=path.name,
            )
        ) from None


def image_format(path: Path) -> str:
    """Pillow's name of the format of a file that ``load_image`` reads, such as "JPEG"."""
    with _opened(path) as image:
        return image.format or ""


def load_image(media: Image.Image | str | Path) -> Image.Image:
    """Image of ``read_image``, without its notices."""
    return read_image(media)[0]


def read_image(media: Image.Image | str | Path) -> tuple[Image.Image, tuple[str, ...]]:
    """Read an image: upright by its EXIF orientation, first frame, transparency on white, mode RGB, no metadata.

    Returns:
        The image, and notices: sentences for the user about what was guessed, such as the range of float values.

    Raises:
        MediaError: it is missing, empty, not an image, damaged, or too large, too small or too narrow.
    """
    if isinstance(media, Image.Image):
        name = Phrase("The image")
        _check_size(media, name)
        return _converted(media, name)
    path = Path(media)
    check_file(path)
    try:
        with _opened(path) as image:
            # Only the header has been read: the size is checked before anything is decoded.
            _check_size(image, path.name)
            return _converted(image, path.name)
    except MediaError:
        raise
    except UnidentifiedImageError:
        raise MediaError(
            Phrase(
                "{name} is not an image this program can read: give one as {formats}.",
                name=path.name,
                formats=IMAGE_FORMATS,
            )
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise MediaError(_too_large(path.name)) from None
    except OSError as error:
        raise MediaError(
            Phrase(
                "{name} cannot be opened: {reason}.",
                name=path.name,
                reason=error.strerror or first_line(error),
            )
        ) from None
    except Exception as error:  # see _opened
        raise MediaError(_damaged(path.name, error)) from error


def check_not_blank(image: Image.Image, name: str) -> None:
    """Refuse an RGB image of one colour throughout, as silence is refused: a model would invent what it shows.

    Raises:
        MediaError: no colour channel varies by more than ``BLANK_SPREAD``.
    """
    if all(high - low <= BLANK_SPREAD for low, high in image.getextrema()):
        raise MediaError(Phrase("{name} is one colour throughout: choose a picture that shows something.", name=name))


def _converted(image: Image.Image, name: str) -> tuple[Image.Image, tuple[str, ...]]:
    try:
        return upright_rgb(image, name)
    except Exception as error:  # see _opened
        raise MediaError(_damaged(name, error)) from error


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The image of a file, decoded on first use.

    Pillow's readers raise about anything on damaged files (ValueError, RuntimeError, SyntaxError, struct.error, ...):
    callers catch Exception.
    """
    with path.open("rb") as file, Image.open(_without_metadata(file), formats=list(FORMATS)) as image:
        yield image


def _without_metadata(file: BinaryIO) -> BinaryIO:
    """A PNG without its texts and profiles, which must not decide whether the picture can be read; others as they are.

    A PNG is a signature, then chunks: length [4 bytes], type [4], content [length], checksum [4].
    """
    if file.read(8) != _PNG_SIGNATURE:
        return file  # Pillow reads from the beginning
    kept = io.BytesIO()
    kept.write(_PNG_SIGNATURE)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in _PNG_METADATA:
            file.seek(length + 4, io.SEEK_CUR)
        else:
            kept.write(head)
            kept.write(file.read(length + 4))
    return kept


def _damaged(name: str, error: Exception) -> Phrase:
    return Phrase(
        "{name} is damaged or cut off ({reason}): save it again and retry.", name=name, reason=first_line(error)
    )


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise MediaError(_too_large(name))
    if min(width, height) < MIN_SIDE:
        raise MediaError(
            Phrase(
                "{name} is too small ({width} x {height}): each side needs {least} pixels.",
                name=name,
                width=width,
                height=height,
                least=MIN_SIDE,
            )
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise MediaError(
            Phrase(
                "{name} is too narrow ({width} x {height}): crop it to at most {most} to 1.",
                name=name,
                width=width,
                height=height,
                most=MAX_ASPECT,
            )
        )


def _too_large(name: str) -> Phrase:
    return Phrase(
        "{name} is too large: at most {most} million pixels. Scale it down and retry.",
        name=name,
        most=MAX_PIXELS // 1_000_000,
    )
