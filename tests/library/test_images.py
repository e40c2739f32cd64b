"""What is accepted as an image, how it is turned, and what is said about the rest."""

import struct
import zlib

import pytest
from PIL import Image

from lora_mcl.errors import MediaError
from lora_mcl.images import input_name, load_image

RED, BLUE = (255, 0, 0), (0, 0, 255)


def two_colours(mode="RGB", size=(40, 20)):
    """Left half red, right half blue."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    return image.convert(mode)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "bmp", "tiff"])
def test_formats(tmp_path, suffix):
    path = tmp_path / f"picture.{suffix}"
    two_colours().save(path)
    image = load_image(path)
    assert (image.mode, image.size) == ("RGB", (40, 20))
    assert image.getpixel((5, 10))[0] > 200 > 60 > image.getpixel((5, 10))[2]
    assert input_name(path) == f"picture.{suffix}"


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1"])
def test_modes(mode):
    image = load_image(two_colours(mode))
    assert (image.mode, image.size) == ("RGB", (40, 20))


def test_a_path_may_be_text(tmp_path):
    two_colours().save(tmp_path / "a.png")
    assert load_image(str(tmp_path / "a.png")).size == (40, 20)


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    two_colours().save(tmp_path / "turned.jpg", exif=exif, quality=95)
    image = load_image(tmp_path / "turned.jpg")
    assert image.size == (20, 40)
    assert image.getpixel((10, 5))[0] > 200 and image.getpixel((10, 35))[2] > 200


def test_transparency_becomes_white():
    image = Image.new("RGBA", (10, 10), (255, 0, 0, 0))
    assert load_image(image).getpixel((5, 5)) == (255, 255, 255)


def test_sixteen_bit_grey_keeps_its_contrast(tmp_path):
    Image.new("I;16", (10, 10), 128 * 256).save(tmp_path / "grey.png")
    assert load_image(tmp_path / "grey.png").getpixel((5, 5)) == (128, 128, 128)


def test_the_given_image_is_left_alone():
    image = two_colours("RGBA")
    load_image(image)
    assert image.mode == "RGBA"
    assert input_name(image) == "image"


def png_header(width, height):
    """A PNG that promises a size and holds no pixels."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b""))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def jpeg_cut_off(tmp_path):
    path = tmp_path / "whole.jpg"
    Image.effect_noise((200, 200), 80).convert("RGB").save(path)
    return path.read_bytes()[:4000]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda _: b"", "empty"),
        (lambda _: b"just some text", "not an image"),
        (lambda _: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (lambda _: png_header(10_000, 10_000), "too large"),
        (lambda _: png_header(50_000, 50_000), "too large"),
        (lambda _: png_header(100, 100), "damaged"),
        (jpeg_cut_off, "damaged"),
        (lambda _: png_header(7, 100), "too small"),
        (lambda _: png_header(2101, 100), "too narrow"),
    ],
    ids=["empty", "text", "eps", "large", "bomb", "no pixels", "cut off", "small", "narrow"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_refused_files(tmp_path, content, message):
    path = tmp_path / "upload.png"
    path.write_bytes(content(tmp_path))
    with pytest.raises(MediaError, match=message) as caught:
        load_image(path)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("name", ["missing.png", "."])
def test_no_such_file(tmp_path, name):
    with pytest.raises(MediaError, match="no file"):
        load_image(tmp_path / name)


@pytest.mark.parametrize(("size", "message"), [((7, 7), "too small"), ((300, 10), "too narrow")])
def test_refused_images_in_memory(size, message):
    with pytest.raises(MediaError, match=message):
        load_image(Image.new("RGB", size))
