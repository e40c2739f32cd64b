"""Bring any picture to the one form the models take: upright, opaque, 8-bit RGB."""

from __future__ import annotations

import struct
import zlib

from PIL import Image, ImageOps

from lora_mcl.errors import MediaError

# What Pillow's readers raise on damaged data.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)


def upright_rgb(image: Image.Image) -> Image.Image:
    """Return ``image`` turned as its EXIF orientation says, laid on white where transparent, as 8-bit RGB.

    Raises:
        MediaError: if the pixels cannot be decoded (a damaged or truncated file).
    """
    try:
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):
            # 16-bit grey: Pillow's own conversion would clip nearly everything to white.
            image = image.point(lambda value: value / 256).convert("L")
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert("RGB")
    except _DAMAGED as error:
        raise MediaError(f"This image is damaged or cut off ({error}): save it again and retry.") from error
