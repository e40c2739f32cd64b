"""Pictures and sounds as data URIs of bounded size, for files that open offline."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from lora_mcl.audio import load_window
from lora_mcl.images import load_image
from lora_mcl.types import Window

PICTURE_SIDE = 720
"""Longest side of an embedded picture, in pixels."""

SOUND_SECONDS = 60.0
"""Longest embedded sound, in seconds: about 0.5 MB."""

_SOUND_RATE = 24_000  # Hz; every browser plays MP3, and at this rate its frames are those of speech and noises
_QUALITY = 82


def picture_uri(file: Path, side: int = PICTURE_SIDE) -> str:
    """The picture as JPEG, upright, its longest side at most ``side`` pixels.

    Raises:
        MediaError: the file cannot be read.
    """
    return "data:image/jpeg;base64," + _base64(picture_jpeg(load_image(file), side))


def picture_jpeg(picture: Image.Image, side: int) -> bytes:
    """An RGB picture as a JPEG file, its longest side at most ``side`` pixels; without metadata."""
    small = picture.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()


def sound_uri(file: Path, window: Window) -> str:
    """The part of the sound that the model got, as MP3 in mono, at most ``SOUND_SECONDS``.

    Raises:
        MediaError: the file cannot be read.
    """
    seconds = min(window.end - window.start, SOUND_SECONDS)
    samples, _ = load_window(file, window.start, sampling_rate=_SOUND_RATE, max_seconds=seconds)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), _SOUND_RATE, format="MP3", subtype="MPEG_LAYER_III")
    return "data:audio/mpeg;base64," + _base64(buffer.getvalue())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
