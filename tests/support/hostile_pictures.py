"""Generated picture files that somebody might upload by accident or on purpose: damaged, odd, misnamed, bombs."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
import pillow_heif
from PIL import Image
from PIL.PngImagePlugin import PngInfo

Build = Callable[[], bytes]
pillow_heif.register_heif_opener()

# What is written with which name's ending; every format that the program reads.
WRITERS = {
    "png": {"format": "PNG"},
    "jpg": {"format": "JPEG"},
    "webp": {"format": "WEBP"},
    "gif": {"format": "GIF"},
    "bmp": {"format": "BMP"},
    "tif": {"format": "TIFF", "compression": "tiff_deflate"},
    "avif": {"format": "AVIF"},
    "heic": {"format": "HEIF"},
    "jp2": {"format": "JPEG2000"},
}
SIGNATURE = b"\x89PNG\r\n\x1a\n"
ORIENTATION = 0x0112


def picture(width: int = 48, height: int = 40, mode: str = "RGB") -> Image.Image:
    """A colour gradient with some noise."""
    noise = np.random.default_rng(width * height).integers(0, 30, (height, width, 3))
    ramp = np.linspace(0, 225, width)[None, :, None] + np.zeros((height, 1, 3))
    return Image.fromarray((ramp + noise).clip(0, 255).astype(np.uint8)).convert(mode)


def with_picture(image: Image.Image) -> Image.Image:
    """The image with a small picture in its corner, so that it is not of one colour."""
    image.paste(picture(mode=image.mode))
    return image


def encoded(image: Image.Image, ending: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, **(WRITERS[ending] | options))
    return out.getvalue()


@cache
def whole(ending: str) -> bytes:
    """A good file."""
    return encoded(picture(), ending)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, rows: bytes, *extra: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG file with this header, with any compressed rows."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return SIGNATURE + header + b"".join(extra) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    """``count`` compressed zeros, of which only one block is ever in memory."""
    packer, block, out = zlib.compressobj(1), bytes(1 << 20), []
    for _ in range(count >> 20):
        out.append(packer.compress(block))
    out += [packer.compress(bytes(count & ((1 << 20) - 1))), packer.flush()]
    return b"".join(out)


def with_size(data: bytes, at: int, form: str, width: int, height: int) -> bytes:
    """A file whose header claims another size."""
    packed = struct.pack(form, width, height)
    return data[:at] + packed + data[at + len(packed) :]


def claimed_jpeg(width: int, height: int) -> bytes:
    at = whole("jpg").index(b"\xff\xc0") + 5
    return with_size(whole("jpg"), at, ">HH", height, width)


def claimed_avif(width: int, height: int) -> bytes:
    at = whole("avif").index(b"ispe") + 8
    return with_size(whole("avif"), at, ">II", width, height)


def tiff_of_pages_in_a_circle() -> bytes:
    """The first directory names itself as the next one."""
    data = bytearray(whole("tif"))
    (first,) = struct.unpack("<I", data[4:8])
    (entries,) = struct.unpack("<H", data[first : first + 2])
    data[first + 2 + 12 * entries : first + 6 + 12 * entries] = struct.pack("<I", first)
    return bytes(data)


def animated(ending: str, frames: int) -> bytes:
    first, *rest = [picture().rotate(n) for n in range(frames)]
    return encoded(first, ending, save_all=True, append_images=rest)


def rotated(ending: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(picture(), ending, exif=exif)


def transparent(ending: str, alpha: int) -> bytes:
    image = picture(mode="RGBA")
    image.putalpha(alpha)
    return encoded(image, ending)


def grey(kind: type, ending: str, top: float) -> bytes:
    ramp = np.linspace(0, top, 48 * 40).reshape(40, 48).astype(kind)
    return encoded(Image.fromarray(ramp), ending)


def with_texts(count: int, size: int) -> bytes:
    texts = PngInfo()
    for n in range(count):
        texts.add_text(f"workflow-{n}", "x" * size, zip=True)
    return encoded(picture(), "png", pnginfo=texts)


def after(first: bytes, second: bytes) -> bytes:
    return first + second


PAGE = b"<!doctype html><script>alert(1)</script>"
PROGRAM = b"\x7fELF\x02\x01\x01" + bytes(60)
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><image href='file:///etc/passwd'/></svg>"
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n(/etc/passwd) (r) file\nshowpage\n"
ARCHIVE = b"PK\x03\x04" + bytes(26)

# Pictures that must be captioned: unusual, yet every viewer shows them.
GOOD: dict[str, Build] = {
    **{f"whole.{ending}": (lambda e=ending: whole(e)) for ending in WRITERS},
    **{f"mode-{mode}.png": (lambda m=mode: encoded(picture(mode=m), "png")) for mode in ("1", "L", "LA", "P", "RGBA")},
    **{f"mode-{mode}.tif": (lambda m=mode: encoded(picture(mode=m), "tif")) for mode in ("CMYK", "LAB", "YCbCr", "1")},
    "mode-CMYK.jpg": lambda: encoded(picture(mode="CMYK"), "jpg"),
    "mode-L.jpg": lambda: encoded(picture(mode="L"), "jpg"),
    "progressive.jpg": lambda: encoded(picture(), "jpg", progressive=True),
    "16-bit.png": lambda: grey(np.uint16, "png", 65_535),
    "16-bit.tif": lambda: grey(np.uint16, "tif", 65_535),
    "float.tif": lambda: grey(np.float32, "tif", 255),
    "int32.tif": lambda: grey(np.int32, "tif", 255),
    **{f"animated.{ending}": (lambda e=ending: animated(e, 5)) for ending in ("gif", "webp", "png", "tif")},
    **{f"rotated-{n}.jpg": (lambda n=n: rotated("jpg", n)) for n in range(1, 9)},
    **{f"orientation-{n}.jpg": (lambda n=n: rotated("jpg", n)) for n in (0, 9, 65_535)},
    **{f"rotated-6.{ending}": (lambda e=ending: rotated(e, 6)) for ending in ("png", "webp", "tif", "avif")},
    **{f"alpha-128.{e}": (lambda e=e: transparent(e, 128)) for e in ("png", "webp", "tif")},
    "smallest.png": lambda: encoded(picture(8, 8), "png"),
    "narrowest.png": lambda: encoded(picture(8, 160), "png"),
    "large.jpg": lambda: encoded(with_picture(Image.new("RGB", (2_500, 2_000), "teal")), "jpg"),
    "long.png": lambda: encoded(with_picture(Image.new("L", (20_000, 1_000), 99)), "png", compress_level=1),
    "tail.png": lambda: whole("png") + b"\0" * 5_000,
    "page-after.png": lambda: after(whole("png"), PAGE),
    "archive-after.jpg": lambda: after(whole("jpg"), ARCHIVE),
    "gif-after.jpg": lambda: after(whole("jpg"), whole("gif")),
    "comment.gif": lambda: encoded(picture(), "gif", comment=PAGE),
    **{
        f"{e}-inside.{other}": (lambda e=e: whole(e))
        for e, other in zip(WRITERS, [*list(WRITERS)[1:], "txt"], strict=True)
    },
    "no-ending": lambda: whole("png"),
    "sound.wav": lambda: whole("jpg"),
}

# Files that must get a message, and a part of it.
REFUSED: dict[str, tuple[Build, str]] = {
    "nothing.png": (lambda: b"", "is empty"),
    "1x1.png": (lambda: encoded(picture(1, 1), "png"), "too small"),
    "1x1.gif": (lambda: encoded(picture(1, 1), "gif"), "too small"),
    "7x9.bmp": (lambda: encoded(picture(7, 9), "bmp"), "too small"),
    # Nothing is left of them on white paper.
    **{f"alpha-0.{e}": ((lambda e=e: transparent(e, 0)), "one colour") for e in ("png", "webp", "tif")},
    "white.jpg": (lambda: encoded(Image.new("RGB", (60, 50), "white"), "jpg"), "one colour"),
    "line.png": (lambda: encoded(Image.new("RGB", (20_000, 10)), "png"), "too narrow"),
    "161x8.png": (lambda: encoded(picture(161, 8), "png"), "too narrow"),
    **{
        f"{name}-inside.{ending}": ((lambda d=data: d), "is not an image")
        for ending in ("png", "jpg")
        for name, data in (
            ("text", b"this is no picture"),
            ("page", PAGE),
            ("program", PROGRAM),
            ("svg", SVG),
            ("postscript", POSTSCRIPT),
            ("archive", ARCHIVE),
            ("pdf", b"%PDF-1.7\n%%EOF"),
            ("zeros", bytes(1_000)),
            ("line-ends", b"\r\n" * 500),
        )
    },
    "drawing.svg": (lambda: SVG, "is not an image"),
    "script.eps": (lambda: POSTSCRIPT, "is not an image"),
}

# Small files that claim, or unpack to, far more than any picture.
BOMBS: dict[str, tuple[Build, str]] = {
    "900-megapixels.png": (lambda: png(30_000, 30_000, zeros(1 << 20)), "too large"),
    "really-900-megapixels.png": (lambda: png(30_000, 30_000, zeros(30_000 * 3_751), depth=1, colour=0), "too large"),
    "4-gigapixels.png": (lambda: png(2**31 - 1, 2, b""), "too large|too narrow|cannot be opened|is not an image"),
    "claims.jpg": (lambda: claimed_jpeg(65_000, 65_000), "too large"),
    "claims.gif": (lambda: with_size(whole("gif"), 6, "<HH", 65_000, 65_000), "too large"),
    "claims.bmp": (lambda: with_size(whole("bmp"), 18, "<ii", 2**30, 2**30), "too large"),
    "claims.avif": (lambda: claimed_avif(60_000, 60_000), "too large|is not an image|cannot be opened"),
    "51-megapixels.png": (lambda: png(7_200, 7_200, zeros(1 << 20), colour=0), "too large"),
}

# Heavy, and no reason to refuse: at most as much memory as its pixels.
HEAVY: dict[str, Build] = {
    "49-megapixels.png": lambda: png(7_000, 7_000, zeros(7_000 * 7_001), colour=0),
    "texts.png": lambda: with_texts(3, 400_000),
    "100-frames.gif": lambda: animated("gif", 100),
    "circle.tif": tiff_of_pages_in_a_circle,
}


def cut(data: bytes, part: float) -> bytes:
    """The beginning of a file: a share of it, or so many bytes (from its end where negative)."""
    return data[: int(part * len(data)) if 0 < part < 1 else int(part)]


def corrupted(data: bytes, seed: int) -> bytes:
    """A file with one to eight bytes changed, a piece removed, or a piece repeated."""
    random = np.random.default_rng(seed)
    changed = bytearray(data)
    kind = random.integers(4)
    if kind < 2:
        for _ in range(random.integers(1, 9)):
            # Half of the changes hit the header, where they do most.
            end = len(changed) if kind else min(len(changed), 64)
            changed[random.integers(end)] = random.integers(256)
    else:
        start, length = random.integers(len(changed)), random.integers(1, max(2, len(changed) // 4))
        piece = changed[start : start + length]
        changed[start : start + length] = b"" if kind == 2 else piece + piece
    return bytes(changed)


CUTS = (1, 4, 16, 0.25, 0.5, 0.75, 0.95, -1)
# Either captioned or refused, by what is left of them.
DAMAGED: dict[str, Build] = {
    **{f"cut-{part}.{ending}": (lambda e=ending, p=part: cut(whole(e), p)) for ending in WRITERS for part in CUTS},
    **{f"corrupt-{n}.{ending}": (lambda e=ending, n=n: corrupted(whole(e), n)) for ending in WRITERS for n in range(4)},
    "no-rows.png": lambda: png(40, 40, b""),
    "few-rows.png": lambda: png(40, 40, zeros(40)),
    "odd-depth.png": lambda: png(40, 40, zeros(5_000), depth=7),
    "odd-colour.png": lambda: png(40, 40, zeros(5_000), colour=5),
    "no-width.png": lambda: png(0, 40, zeros(5_000)),
    "short-header.png": lambda: SIGNATURE + chunk(b"IHDR", b"\0\0\0\x28"),
    "profile.png": lambda: png(40, 40, zeros(40 * 121), chunk(b"iCCP", b"x\0\0" + zeros(3 << 20))),
    "text.png": lambda: png(40, 40, zeros(40 * 121), chunk(b"zTXt", b"x\0\0" + zeros(3 << 20))),
    "exif.jpg": lambda: encoded(picture(), "jpg", exif=b"Exif\0\0" + b"\xff" * 200),
    "exif.png": lambda: png(40, 40, zeros(40 * 121), chunk(b"eXIf", b"MM\0*\0\0\0\x08" + b"\xff" * 60)),
    "nan.tif": lambda: encoded(Image.fromarray(np.full((40, 40), np.nan, np.float32)), "tif"),
    "inf.tif": lambda: encoded(Image.fromarray(np.full((40, 40), np.inf, np.float32)), "tif"),
}
