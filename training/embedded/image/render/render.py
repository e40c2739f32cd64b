"""Paint a scene: cut-outs blended onto a photograph.

Blending follows the places where composites usually betray themselves: contact shadow, edge softness,
light (brightness and a tint of the background), repeated copies (each is flipped, rotated and scaled
anew), and a last JPEG pass over everything.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from training.embedded.image.world.scene import MAX_COUNT, SLOTS, Scene, Thing

SHORT_SIDE = 320
"""Pixels; the long side follows from the aspect ratio. A little above what the vision tower sees."""
ASPECTS = ((1.0, 0.5), (4 / 3, 0.35), (3 / 4, 0.15))
SIZE_FACTOR = {"small": 0.6, "normal": 1.0, "large": 1.5}
NORMAL_HEIGHT = 0.48
"""Height of a normal thing, as a fraction of the picture's short side."""


@dataclass(frozen=True)
class Background:
    """A photograph and the height (fraction from the top) at which things stand on its ground."""

    image: Image.Image
    horizon: float


@dataclass(frozen=True)
class _Placed:
    """One copy of a cut-out, its centre and its foot, in pixels."""

    sprite: Image.Image
    x: float
    foot: float


def render(
    scene: Scene,
    background: Background,
    sprite_of: Callable[[str], Image.Image],
    relative_size: Callable[[str], float],
    rng: random.Random,
    aspects: Sequence[tuple[float, float]] = ASPECTS,
    short_side: int = SHORT_SIDE,
) -> Image.Image:
    """Return the scene as an RGB picture.

    Args:
        scene: what to show, and in which slots.
        background: the photograph of the scene's place.
        sprite_of: gives an RGBA cut-out of a concept, one drawing for all its copies.
        relative_size: how large the concept is drawn next to others, about 0.6 to 1.4.
        rng: all randomness comes from here, so that a seed gives the same picture.
        aspects: (width / height, weight) to draw the picture's shape from.
        short_side: of the picture, in pixels.
    """
    aspect = rng.choices([a for a, _ in aspects], [w for _, w in aspects])[0]
    long_side = round(short_side * max(aspect, 1 / aspect))
    width, height = (long_side, short_side) if aspect >= 1 else (short_side, long_side)
    canvas, ground = _paint_background(background, width, height, rng)
    tint = np.asarray(canvas, dtype=np.float32).mean((0, 1))
    placed = [
        copy
        for thing in scene.things
        for copy in _arrange(
            thing, scene, sprite_of(thing.concept), relative_size(thing.concept), canvas.size, ground, rng
        )
    ]
    for copy in sorted(placed, key=lambda item: item.foot):
        _paint(canvas, copy, tint, rng)
    return _jpeg(canvas, rng.randint(60, 92))


def render_alone(
    sprite: Image.Image, background: Background, height: float, side: int, rng: random.Random
) -> tuple[Image.Image, Image.Image]:
    """Return a square picture with one cut-out standing anywhere in it, and the mask (L) of its pixels.

    Args:
        sprite: an RGBA cut-out.
        background: where it stands.
        height: of the cut-out, as a fraction of ``side``; a wide one is as large in area, not as tall.
        side: of the picture, in pixels.
        rng: all randomness comes from here.
    """
    canvas, _ = _paint_background(background, side, side, rng)
    tint = np.asarray(canvas, dtype=np.float32).mean((0, 1))
    target = side * height * rng.uniform(0.85, 1.15)
    longest = 0.9 * side / max(sprite.size)
    copy = _vary(_recolour(sprite, rng), min(target / max(sprite.height, sprite.width * 0.75), longest), rng)
    copy = copy.crop((0, 0, min(copy.width, side), min(copy.height, side)))
    x, foot = rng.uniform(copy.width / 2, side - copy.width / 2), rng.uniform(copy.height, side)
    _paint(canvas, _Placed(copy, x, foot), tint, rng)
    mask = Image.new("L", (side, side))
    mask.paste(copy.getchannel("A"), (round(x - copy.width / 2), round(foot - copy.height)))
    return _jpeg(canvas, rng.randint(60, 92)), mask


def _paint_background(background: Background, width: int, height: int, rng: random.Random) -> tuple[Image.Image, float]:
    """Crop, flip and jitter the photograph; return it with its ground as a fraction of the new height."""
    photo = background.image.convert("RGB")
    scale = min(photo.width / width, photo.height / height) * rng.uniform(0.72, 1.0)
    crop_width, crop_height = width * scale, height * scale
    left = rng.uniform(0, photo.width - crop_width)
    # The ground must stay in the picture, so the crop is drawn towards the bottom.
    top = (photo.height - crop_height) * rng.uniform(0.45, 1.0)
    canvas = photo.resize((width, height), Image.Resampling.BICUBIC, (left, top, left + crop_width, top + crop_height))
    if rng.random() < 0.5:
        canvas = canvas.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for enhance, spread in (
        (ImageEnhance.Brightness, 0.15),
        (ImageEnhance.Color, 0.25),
        (ImageEnhance.Contrast, 0.12),
    ):
        canvas = enhance(canvas).enhance(rng.uniform(1 - spread, 1 + spread))
    ground = (background.horizon * photo.height - top) / crop_height
    return canvas, min(max(ground, 0.55), 0.85)


def _arrange(
    thing: Thing,
    scene: Scene,
    sprite: Image.Image,
    relative_size: float,
    size: tuple[int, int],
    ground: float,
    rng: random.Random,
) -> list[_Placed]:
    """Place the copies of one thing in its slot: side by side, the third one behind."""
    width, height = size
    sprite = _recolour(sprite, rng)
    centre, room = _slot_geometry(thing, scene, width)
    short = min(width, height)
    target = short * NORMAL_HEIGHT * SIZE_FACTOR[thing.size] * relative_size**0.6 * rng.uniform(0.9, 1.1)
    columns = min(thing.count, 2)
    limit = room / (columns if columns == 1 else columns * 0.9)
    scale = min(target / max(sprite.height, sprite.width * 0.75), limit / sprite.width, 0.8 * height / sprite.height)
    if thing.count == MAX_COUNT:
        scale = min(scale, 0.45 * height / sprite.height)
    foot = height * rng.uniform(ground, min(ground + 0.12, 0.95))
    step = sprite.width * scale * 0.92
    offsets = {1: ((0.0, 0.0),), 2: ((-0.5, 0.0), (0.5, 0.0)), 3: ((0.0, -0.72), (-0.52, 0.0), (0.52, 0.0))}[
        thing.count
    ]
    centre += rng.uniform(-0.03, 0.03) * width
    placed = []
    for dx, dy in offsets:
        copy = _vary(sprite, scale * (rng.uniform(0.92, 1.06) if thing.count > 1 else 1.0), rng)
        x = centre + dx * step + rng.uniform(-0.04, 0.04) * step
        x = min(max(x, copy.width / 2), width - copy.width / 2)
        y = foot + dy * copy.height + rng.uniform(-0.04, 0.04) * copy.height
        placed.append(_Placed(copy, x, min(max(y, copy.height * 1.02), height * 0.99)))
    return placed


def _slot_geometry(thing: Thing, scene: Scene, width: int) -> tuple[float, float]:
    """Centre and room of a slot in pixels; things alone or in twos get more room than a third."""
    thirds = {slot: (index + 0.5) / 3 for index, slot in enumerate(SLOTS)}
    centre, room = thirds[thing.slot], 0.33
    slots = {other.slot for other in scene.things}
    if len(slots) == 1:
        room = 0.6 if thing.slot == "middle" else 0.42
        centre = {"left": 0.24, "middle": 0.5, "right": 0.76}[thing.slot]
    elif slots == {"left", "right"}:
        room, centre = 0.45, {"left": 0.25, "right": 0.75}[thing.slot]
    return centre * width, room * width


def _vary(sprite: Image.Image, scale: float, rng: random.Random) -> Image.Image:
    """A copy of the cut-out: scaled, a little stretched, perhaps flipped, rotated."""
    stretch = rng.uniform(0.93, 1.07)
    size = (max(8, round(sprite.width * scale * stretch)), max(8, round(sprite.height * scale / stretch)))
    copy = sprite.resize(size, Image.Resampling.LANCZOS)
    if rng.random() < 0.5:
        copy = copy.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    copy = copy.rotate(rng.gauss(0, 5), Image.Resampling.BICUBIC, expand=True)
    return copy.crop(copy.getchannel("A").getbbox() or (0, 0, *copy.size))


def _recolour(sprite: Image.Image, rng: random.Random) -> Image.Image:
    """The cut-out with its hue, saturation and contrast moved a little; drawings of one thing differ so."""
    alpha = sprite.getchannel("A")
    hue, saturation, value = sprite.convert("RGB").convert("HSV").split()
    shift = round(rng.gauss(0, 6))
    hue = hue.point([(level + shift) % 256 for level in range(256)])
    colour = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
    for enhance, spread in ((ImageEnhance.Color, 0.35), (ImageEnhance.Contrast, 0.2)):
        colour = enhance(colour).enhance(rng.uniform(1 - spread, 1 + spread))
    colour.putalpha(alpha)
    return colour


def _paint(canvas: Image.Image, copy: _Placed, tint: np.ndarray, rng: random.Random) -> None:
    """Paint one copy with its contact shadow, softened edge, and the light of the place."""
    sprite = copy.sprite
    left, top = round(copy.x - sprite.width / 2), round(copy.foot - sprite.height)
    shadow_height = max(4, sprite.height // 7)
    shadow = Image.new("L", (sprite.width + 24, shadow_height + 24))
    ellipse = Image.new("L", (max(4, round(sprite.width * 0.86)), shadow_height))
    yy, xx = np.mgrid[-1 : 1 : ellipse.height * 1j, -1 : 1 : ellipse.width * 1j]
    ellipse = Image.fromarray((np.clip(1.0 - xx**2 - yy**2, 0, 1) ** 0.5 * rng.uniform(70, 140)).astype(np.uint8))
    shadow.paste(ellipse, ((shadow.width - ellipse.width) // 2, 12))
    shadow = shadow.filter(ImageFilter.GaussianBlur(max(1.5, shadow_height / 4)))
    dark = Image.new("RGB", shadow.size, (12, 12, 16))
    canvas.paste(dark, (left - 12, round(copy.foot - shadow_height / 2) - 12), shadow)

    pixels = np.asarray(sprite, dtype=np.float32)
    light = rng.uniform(0.85, 1.08)
    blend = rng.uniform(0.0, 0.12)
    colour = np.clip(pixels[..., :3] * light * (1 - blend) + tint * blend, 0, 255).astype(np.uint8)
    alpha = Image.fromarray(pixels[..., 3].astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.6))
    canvas.paste(Image.fromarray(colour), (left, top), alpha)


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    buffer.seek(0)
    return Image.open(buffer).convert("RGB")
