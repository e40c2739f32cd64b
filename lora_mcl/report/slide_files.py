"""A slide as a PNG or SVG file."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path

from PIL import Image, ImageDraw

from lora_mcl.errors import OptionsError
from lora_mcl.report.media import picture_jpeg
from lora_mcl.report.slide import HEIGHT, PAPER, WIDTH, Box, Face, Slide, TextLine, font

# Other fonts where DejaVu is not installed are narrower: lines keep within their width.
_FAMILIES: dict[Face, str] = {
    "sans": "'DejaVu Sans', Verdana, 'Segoe UI', sans-serif",
    "bold": "'DejaVu Sans', Verdana, 'Segoe UI', sans-serif",
    "serif": "'DejaVu Serif', Georgia, 'Liberation Serif', serif",
}
# Longest side of the picture in an SVG, twice what it takes on the slide.
_SIDE = 1500
# Corners are drawn larger and scaled down, which smooths them.
_SMOOTH = 4
_CORNER = 10


def check_slide_path(path: Path) -> None:
    """Refuse a path that ends in neither .png nor .svg.

    Raises:
        OptionsError: it does.
    """
    if path.suffix.lower() not in (".png", ".svg"):
        raise OptionsError(f"--slide {path}: give a file that ends in .png or .svg.")


def write_slide(slide: Slide, path: Path) -> None:
    """Write the slide to a file that ends in .png or .svg.

    Raises:
        OptionsError: it ends otherwise, or cannot be written.
    """
    check_slide_path(path)
    content = png(slide) if path.suffix.lower() == ".png" else svg(slide).encode("utf-8")
    try:
        path.write_bytes(content)
    except OSError as error:
        raise OptionsError(f"--slide {path} cannot be written: {error.strerror or error}.") from error


def png(slide: Slide) -> bytes:
    """The slide as a PNG file. Text in other scripts than Latin, Greek and Cyrillic needs the SVG."""
    canvas = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    if slide.picture is not None:
        box = slide.picture
        size = (max(1, round(box.width)), max(1, round(box.height)))
        picture = slide.image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        canvas.paste(picture, (round(box.x), round(box.y)), _rounded(size, _CORNER))
    for box in slide.boxes:
        size = (max(1, round(box.width)), max(1, round(box.height)))
        canvas.paste(box.colour, (round(box.x), round(box.y)), _rounded(size, box.radius))
    draw = ImageDraw.Draw(canvas)
    for line in slide.lines:
        draw.text((line.x, line.y), line.text, fill=line.colour, font=font(line.face, line.size), anchor="ls")
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _rounded(size: tuple[int, int], radius: float) -> Image.Image:
    """Mask of a rectangle with smooth round corners."""
    large = Image.new("L", (size[0] * _SMOOTH, size[1] * _SMOOTH), 0)
    draw = ImageDraw.Draw(large)
    draw.rounded_rectangle((0, 0, large.width - 1, large.height - 1), radius=round(radius * _SMOOTH), fill=255)
    return large.resize(size, Image.Resampling.BOX)


def svg(slide: Slide) -> str:
    """The slide as an SVG file with the picture in it; its text can be selected and edited."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img"><title>{escape(slide.title)}</title>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{PAPER}"/>',
    ]
    if slide.picture is not None:
        box = slide.picture
        place = f'x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}"'
        content = base64.b64encode(picture_jpeg(slide.image.convert("RGB"), _SIDE)).decode("ascii")
        parts.append(f'<clipPath id="corners"><rect {place} rx="{_CORNER}"/></clipPath>')
        parts.append(f'<image {place} clip-path="url(#corners)" href="data:image/jpeg;base64,{content}"/>')
    parts += [_svg_box(box) for box in slide.boxes]
    parts += [_svg_line(line) for line in slide.lines]
    return "\n".join([*parts, "</svg>\n"])


def _svg_box(box: Box) -> str:
    return (
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" '
        f'rx="{box.radius:.1f}" fill="{box.colour}"/>'
    )


def _svg_line(line: TextLine) -> str:
    weight = ' font-weight="bold"' if line.face == "bold" else ""
    return (
        f'<text x="{line.x:.1f}" y="{line.y:.1f}" font-family="{_FAMILIES[line.face]}" '
        f'font-size="{line.size:.1f}"{weight} fill="{line.colour}">{escape(line.text)}</text>'
    )
