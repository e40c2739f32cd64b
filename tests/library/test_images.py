"""Which images are accepted, how they are turned, and the messages about the others."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin
from PIL.PngImagePlugin import PngInfo

from lora_mcl import images
from lora_mcl.errors import MediaError
from lora_mcl.images import check_not_blank, image_format, input_name, load_image, modality_of, read_image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def two_colours(mode="RGB", size=(40, 20)):
    """Left half red, right half blue."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    return image.convert(mode)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "bmp", "tiff", "avif", "heic", "jp2"])
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
        (lambda _: png_header(10_000, 10_000), "is too large: at most 50 million pixels. Scale it down"),
        (lambda _: png_header(50_000, 50_000), "too large"),
        (lambda _: png_header(100, 100), "damaged"),
        (jpeg_cut_off, "damaged"),
        (lambda _: png_header(7, 100), r"is too small \(7 x 100\): each side needs 8 pixels\."),
        (lambda _: png_header(2101, 100), r"is too narrow \(2101 x 100\): crop it to at most 20 to 1\."),
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


def test_a_picture_that_is_too_large_is_no_sound(tmp_path):
    """Its first bytes say that it is a picture, so it gets the message about pictures."""
    path = tmp_path / "upload"
    path.write_bytes(png_header(50_000, 50_000))
    assert modality_of(path) == "image"
    path.write_bytes(b"just some text")
    with pytest.raises(MediaError, match="upload is neither an image nor a sound"):
        modality_of(path)
    two_colours().save(path, "GIF")
    assert image_format(path) == "GIF"


@pytest.mark.parametrize(("name", "message"), [("missing.png", "no file"), (".", "is a folder")])
def test_no_such_file(tmp_path, name, message):
    with pytest.raises(MediaError, match=message):
        load_image(tmp_path / name)


@pytest.mark.parametrize(("size", "message"), [((7, 7), "too small"), ((300, 10), "too narrow")])
def test_refused_images_in_memory(size, message):
    with pytest.raises(MediaError, match=message):
        load_image(Image.new("RGB", size))


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("international", [True, False])
def test_a_png_with_megabytes_of_text_is_only_a_picture(tmp_path, compressed, international):
    """Image generators write their workflow into the file, more than Pillow takes."""
    texts = PngInfo()
    add = texts.add_itxt if international else texts.add_text
    add("workflow", "node " * 1_000_000, zip=compressed)
    two_colours().save(tmp_path / "a.png", pnginfo=texts)
    image = load_image(tmp_path / "a.png")
    assert image.tobytes() == two_colours().tobytes() and image.info == {}
    assert modality_of(tmp_path / "a.png") == "image"


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_metadata_that_cannot_be_read_are_left_out(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    two_colours().save(path, exif=b"Exif\x00\x00XX garbage that no program wrote")
    assert load_image(path).size == (40, 20)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation(tmp_path, orientation, suffix):
    """Pillow itself turns a TIFF, and only that."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = two_colours()
    for corner, colour in ((0, 0), RED), ((39, 0), BLUE), ((0, 19), GREEN), ((39, 19), WHITE):
        stored.putpixel(corner, colour)
    stored.save(tmp_path / f"a.{suffix}", exif=exif)
    image = load_image(tmp_path / f"a.{suffix}")
    assert image.size == ((40, 20) if orientation < 5 else (20, 40)) and image.info == {}
    corners = [(x, y) for y in (0, image.height - 1) for x in (0, image.width - 1)]
    # By the row and column of the upright picture that the stored first row and column are (EXIF 2.3, table 6).
    assert (
        tuple(image.getpixel(corner) for corner in corners)
        == {
            1: (RED, BLUE, GREEN, WHITE),
            2: (BLUE, RED, WHITE, GREEN),
            3: (WHITE, GREEN, BLUE, RED),
            4: (GREEN, WHITE, RED, BLUE),
            5: (RED, GREEN, BLUE, WHITE),
            6: (GREEN, RED, WHITE, BLUE),
            7: (WHITE, BLUE, GREEN, RED),
            8: (BLUE, WHITE, RED, GREEN),
        }[orientation]
    )
    assert load_image(image).tobytes() == image.tobytes()  # turned once


def test_metadata_of_an_image_in_memory_stay_with_it():
    image = two_colours()
    image.info["comment"] = "mine"
    assert load_image(image).info == {} and image.info == {"comment": "mine"}


RAMP = np.tile(np.arange(16, 252, dtype=np.float64), (20, 1))
"""Grey levels of 8 bits [20, 236], neither black nor white among them."""


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((RAMP * 256).astype(">u2"), None),
        ((RAMP * 256).astype("<u2"), None),
        ((RAMP * 16).astype("<u2"), "0 to 4095"),
        (RAMP.astype("<u2"), "0 to 255"),
        (RAMP.astype("<i4"), "0 to 255"),
        ((RAMP * 256).astype("<i4"), "0 to 65535"),
        (RAMP.astype("<f4"), "0 to 255"),
        (((RAMP + 0.5) / 255).astype("<f4"), "0 to 1"),
        ((RAMP * 256).astype("<f4"), "0 to 65535"),
    ],
    ids=["16 bits big-endian", "16", "12 in 16", "8 in 16", "8 in 32", "16 in 32", "float 255", "float 1", "float 16"],
)
def test_values_of_more_than_8_bits(tmp_path, values, words):
    path = tmp_path / "grey.tif"
    image = Image.fromarray(values)
    assert (
        image.mode == {"u": "I;16B" if values.dtype.byteorder == ">" else "I;16", "i": "I", "f": "F"}[values.dtype.kind]
    )
    image.save(path)
    for source in (path, image):
        image, notices = read_image(source)
        assert np.array_equal(np.asarray(image)[..., 0], RAMP.astype(np.uint8))
        assert (words is None) == (notices == ())
        assert words is None or f"{words} was taken for black to white" in notices[0]


def test_a_stated_range_is_no_guess(tmp_path):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[281] = 1023
    Image.fromarray((RAMP * 4).astype("<u2")).save(tmp_path / "a.tif", tiffinfo=tags)
    image, notices = read_image(tmp_path / "a.tif")
    assert np.array_equal(np.asarray(image)[..., 0], RAMP.astype(np.uint8)) and notices == ()


def test_values_of_no_usual_range_are_stretched(tmp_path):
    values = np.linspace(-3.0, 7.0, 400, dtype=np.float32).reshape(20, 20)
    values[0, 0] = np.nan
    image, notices = read_image(Image.fromarray(values))
    grey = np.asarray(image)[..., 0]
    assert grey[-1, -1] == 255 and grey[0, 0] == 0 and 120 < grey[10, 0] < 135
    assert "no numbers" in notices[0] and "holds values from -2.97494 to 7" in notices[1]


def test_a_black_picture_is_captioned_with_a_word(tmp_path):
    Image.new("RGB", (20, 20), (7, 7, 7)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[1] == ("a.png looks black: its largest value is below 8 of 255.",)
    assert read_image(Image.new("RGB", (20, 20), (0, 8, 0)))[1] == ()


@pytest.mark.parametrize("error", [ValueError, RuntimeError, SyntaxError, KeyError, struct.error, MemoryError])
def test_any_error_of_pillow_names_the_file(tmp_path, monkeypatch, error):
    two_colours().save(tmp_path / "a.png")

    def broken(*args, **kwargs):
        raise error("deep inside")

    monkeypatch.setattr(images, "upright_rgb", broken)
    with pytest.raises(MediaError, match="a.png is damaged or cut off .*deep inside"):
        load_image(tmp_path / "a.png")
    monkeypatch.setattr(images.Image, "open", broken)
    with pytest.raises(MediaError, match="a.png is damaged or cut off .*deep inside"):
        load_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "bmp", "tiff", "avif", "heic", "jp2"])
def test_a_file_cut_anywhere_is_a_picture_or_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.effect_noise((60, 40), 80).convert("RGB").save(path)
    whole = path.read_bytes()
    for size in range(1, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:size])
        try:
            assert load_image(path).mode == "RGB"
        except MediaError as error:
            assert path.name in str(error)


def test_limits_of_size_are_inclusive(monkeypatch):
    assert images.MAX_PIXELS % 1_000_000 == 0  # messages state it in millions
    monkeypatch.setattr(images, "MAX_PIXELS", 5_000)
    assert load_image(Image.new("RGB", (100, 50), RED)).size == (100, 50)
    with pytest.raises(MediaError, match="too large"):
        load_image(Image.new("RGB", (100, 51), RED))
    assert load_image(Image.new("RGB", (160, 8), RED)).size == (160, 8)  # 20 to 1, and the least side
    with pytest.raises(MediaError, match="too narrow"):
        load_image(Image.new("RGB", (161, 8), RED))


@pytest.mark.parametrize(
    ("highest", "taken"),
    [
        *((255, "0 to 255"), (256, "0 to 1023"), (1023, "0 to 1023"), (1024, "0 to 4095")),
        *((4095, "0 to 4095"), (4096, "0 to 65535"), (65535, "0 to 65535"), (65536, "-0 to 65536")),
    ],
)
def test_the_least_depth_that_holds_all_values_is_taken(highest, taken):
    """Of 8, 10, 12 and 16 bits; what is above is stretched from its smallest value."""
    values = np.linspace(0, highest, 400).astype(np.int32).reshape(20, 20)
    image, (notice,) = read_image(Image.fromarray(values))
    assert f"{taken.removeprefix('-')} was taken for black to white" in notice
    white = 255 if highest + 1 in (256, 1024, 4096, 65536) or highest == 65536 else None
    assert white is None or image.getextrema()[0] == (0, white)


@pytest.mark.parametrize(
    ("highest", "taken"), [(1.0, "0 to 1"), (0.5, "0 to 1"), (1.5, "0 to 255"), (70_000.0, "0 to 70000")]
)
def test_the_range_of_float_values(highest, taken):
    values = np.linspace(0, highest, 400, dtype=np.float32).reshape(20, 20)
    image, (notice,) = read_image(Image.fromarray(values))
    assert f"{taken} was taken for black to white" in notice
    low, high = image.getextrema()[0]
    assert low == 0 and (high == 255) == (highest in (1.0, 70_000.0))


def test_whole_numbers_of_0_and_1_are_no_floats():
    """Nearly black, as stored: the file does not state that 1 is white."""
    values = np.tile(np.array([0, 1], np.int32), (20, 10))
    assert "0 to 255 was taken" in read_image(Image.fromarray(values))[1][0]


def test_one_value_throughout_can_be_stretched():
    image, (notice,) = read_image(Image.fromarray(np.full((20, 20), -5, np.int32)))
    assert image.getextrema()[0] == (0, 0) and "-5 to -4 was taken for black to white" in notice


@pytest.mark.parametrize("tag", [281, 341])
@pytest.mark.parametrize(
    ("stated", "believed"), [(1020, True), (1019, False), (0, False), (65_535, True)], ids=lambda value: str(value)
)
def test_a_stated_range_counts_if_the_values_keep_to_it(tmp_path, tag, stated, believed):
    """Here to 1020; else the depth is guessed."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[tag] = stated
    values = np.linspace(0, 1020, 400).astype("<i4").reshape(20, 20)
    Image.fromarray(values).save(tmp_path / "a.tif", tiffinfo=tags)
    image, notices = read_image(tmp_path / "a.tif")
    assert (notices == ()) == believed or "looks black" in notices[0]
    white = stated if believed else 1023
    assert image.getextrema()[0] == (0, int(1020 * 256 / (white + 1)))


def test_a_stated_white_of_1_is_that_of_floats(tmp_path):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[281] = 1
    Image.fromarray(np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)).save(tmp_path / "a.tif", tiffinfo=tags)
    image, notices = read_image(tmp_path / "a.tif")
    assert image.getextrema()[0] == (0, 255) and notices == ()


def test_values_that_are_no_numbers_throughout_are_black():
    image, notices = read_image(Image.fromarray(np.full((20, 20), np.nan, np.float32)))
    assert image.size == (20, 20) and image.getextrema() == ((0, 0),) * 3
    assert len(notices) == 1 and "no numbers" in notices[0]


def test_a_picture_of_one_colour_is_refused(tiny_captioner):
    white = Image.new("RGB", (40, 40), "white")
    for refused in (tiny_captioner.compare, lambda media: tiny_captioner.score(media, "A cat.")):
        with pytest.raises(MediaError, match="image is one colour throughout: choose a picture that shows something"):
            refused(white)
    ramp = white.copy()
    ramp.putpixel((0, 0), (255, 246, 255))
    check_not_blank(ramp, "a.png")
    ramp.putpixel((0, 0), (255, 247, 255))
    with pytest.raises(MediaError, match=r"a\.png is one colour"):
        check_not_blank(ramp, "a.png")
