"""The slide of one comparison: everything within its edges, at measured widths, as PNG and SVG."""

import base64
import io
import itertools
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from lora_mcl.errors import OptionsError
from lora_mcl.report.slide import HEIGHT, WASH, WIDTH, Slide, font, slide_of, spectrogram, width_of, wrapped
from lora_mcl.report.slide_files import png, svg, write_slide
from lora_mcl.texts import FRENCH
from lora_mcl.types import Caption, Comparison
from tests.support.captioned import captioned
from tests.support.fake_captioner import BEAM, DIVERSE, HYPOTHESES, FakeCaptioner

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def comparison(picture) -> Comparison:
    return captioned(picture).comparison


def with_captions(comparison: Comparison, *texts: str) -> Comparison:
    """All columns with the same captions."""
    captions = tuple(Caption(text, -1.0, -1.0, 1) for text in texts)
    return replace(comparison, columns=tuple(replace(column, captions=captions) for column in comparison.columns))


def assert_within(slide: Slide) -> None:
    for line in slide.lines:
        assert line.x >= 0 and line.x + width_of(line.text, line.face, line.size) <= WIDTH
        assert line.size < line.y < HEIGHT - 8
    for box in (*slide.boxes, *filter(None, [slide.picture])):
        assert box.x >= 0 and box.y >= 0 and box.x + box.width <= WIDTH and box.y + box.height <= HEIGHT


def text_of(slide: Slide) -> str:
    return " ".join(line.text for line in slide.lines)


def test_every_caption_and_label_is_on_it(comparison):
    slide = slide_of(comparison, Image.new("RGB", (300, 200), "teal"))
    assert_within(slide)
    for label, _, sentence in HYPOTHESES:
        assert label in text_of(slide) and sentence in text_of(slide)
    assert all(sentence in text_of(slide) for sentence in (*BEAM, *DIVERSE))
    assert slide.lines[-1].text == "LoRA-MCL Studio · fake · picture.png"
    assert slide.picture.width / slide.picture.height == pytest.approx(1.5)


def test_a_slide_in_french(comparison):
    slide = slide_of(with_captions(comparison, ""), None, FRENCH)
    assert_within(slide)
    assert "Recherche en faisceau diversifiée" in text_of(slide) and "(aucun mot)" in text_of(slide)
    assert "Beam search" not in text_of(slide) and "(no words)" not in text_of(slide)


@pytest.mark.parametrize("size", [(10, 400), (400, 10), (50, 50), (2000, 1500)])
def test_pictures_of_every_shape_fit(comparison, size):
    slide = slide_of(comparison, Image.new("RGB", size))
    assert_within(slide)
    assert min(line.x for line in slide.lines[:-1]) > slide.picture.x + slide.picture.width


@pytest.mark.parametrize("text", ["a " * 400, "x" * 900, "word " * 40, "", "é" * 300])
def test_long_captions_are_smaller_and_then_cut(comparison, text):
    slide = slide_of(with_captions(comparison, text, text, text), Image.new("RGB", (300, 200)))
    assert_within(slide)


def test_what_is_cut_ends_in_an_ellipsis(comparison):
    slide = slide_of(with_captions(comparison, "words " * 500))
    assert slide.lines[-2].text.endswith(" …")
    assert not any("…" in line.text for line in slide_of(comparison).lines)


def test_many_hypotheses_fit(picture):
    many = FakeCaptioner(hypotheses=HYPOTHESES * 4)
    slide = slide_of(captioned(picture, many, num_samples=2).comparison, Image.new("RGB", (300, 200)))
    assert_within(slide)
    assert text_of(slide).count(HYPOTHESES[1][0]) == 4 and "Sampling" in text_of(slide)


def test_lines_are_broken_at_measured_widths():
    text = "two sheep stand to the left of a red bicycle on a beach"
    lines = wrapped(text, "serif", 40, 420)
    assert " ".join(lines) == text and len(lines) > 1
    assert all(width_of(line, "serif", 40) <= 420 for line in lines)
    # No line would have taken the next word too.
    for line, following in itertools.pairwise(lines):
        assert width_of(f"{line} {following.split()[0]}", "serif", 40) > 420
    assert "".join(wrapped("x" * 200, "sans", 20, 100)) == "x" * 200
    assert wrapped("", "sans", 20, 100) == []


def test_the_fonts_have_the_letters_of_our_languages():
    absent = bytes(font("serif", 40).getmask("\ufffd"))
    for face in ("sans", "bold", "serif"):
        absent = bytes(font(face, 40).getmask("\U0001f600"))
        for letter in "éàçœêïûôùÉÀÇŒßñãøłž«»“”’…–−·Ωжи":
            assert bytes(font(face, 40).getmask(letter)) != absent, letter


def test_the_png_shows_picture_and_text(comparison):
    with Image.open(io.BytesIO(png(slide_of(comparison, Image.new("RGB", (300, 200), (0, 128, 128)))))) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    assert tuple(pixels[HEIGHT // 2, 300]) == (0, 128, 128)
    assert tuple(pixels[5, 5]) == (250, 249, 246)
    right = pixels[:, 780:]
    assert (right.sum(axis=2) < 150).mean() > 0.002  # ink
    for accent in ((0, 104, 168), (179, 71, 0), (0, 122, 90)):
        assert (np.abs(right - accent).sum(axis=2) < 6).any()


def test_a_spectrogram_has_high_pitch_on_top_and_loudness_as_ink():
    log_mel = np.full((40, 60), -1.0)
    log_mel[35, 30:] = 1.0  # a high tone, in the later half
    picture = np.asarray(spectrogram(log_mel)).astype(int).sum(axis=2)
    height, width = picture.shape
    dark = np.argwhere(picture < 200)
    assert 0 < dark[:, 0].max() < height / 4 and dark[:, 1].min() > 0.45 * width
    paper = sum(int(WASH[place : place + 2], 16) for place in (1, 3, 5))
    assert abs(picture[-1, 0] - paper) < 6


def test_the_svg_is_self_contained_and_escaped(picture):
    evil = '<script>alert("1")</script>'
    entry = captioned(picture, FakeCaptioner(hypotheses=((evil, "", evil),)))
    text = svg(slide_of(replace(entry.comparison, media=evil), Image.new("RGB", (300, 200), "teal")))
    tree = ElementTree.fromstring(text)
    assert (tree.get("width"), tree.get("height")) == ("1920", "1080")
    assert "<script" not in text and text.count("&lt;script&gt;") >= 4
    assert tree.find(f"{SVG}title").text == evil
    (image,) = tree.findall(f"{SVG}image")
    head, _, content = image.get("href").partition(",")
    with Image.open(io.BytesIO(base64.b64decode(content))) as embedded:
        assert head == "data:image/jpeg;base64" and embedded.size == (300, 200)
    assert set(re.findall(r"(?:href|url)[=(]\"?([^\",)]*)", text)) == {
        "data:image/jpeg;base64",
        "#corners",
    }
    assert any(line.text == BEAM[0] for line in tree.findall(f"{SVG}text"))


def test_paths_that_cannot_be_used(comparison, tmp_path):
    slide = slide_of(comparison)
    with pytest.raises(OptionsError, match=r"give a file that ends in \.png or \.svg"):
        write_slide(slide, tmp_path / "slide.pdf")
    with pytest.raises(OptionsError, match="cannot be written: No such file"):
        write_slide(slide, tmp_path / "no" / "slide.png")
    for name in ("slide.png", "SLIDE.SVG"):
        write_slide(slide, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 3_000
