"""Places made by code: a plain wall, fog, an evening sky, northern lights, and stars.

Each takes a seed and a ``tone`` in [0, 1], which moves its palette and layout. Training uses tones up to
0.6 and the test tones from 0.75, so that the test sees neither the same picture nor the same palette.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

WIDTH, HEIGHT = 480, 360


def paint(kind: str, seed: int, tone: float) -> Image.Image:
    """Return one RGB picture of ``kind``, the same for the same seed and tone.

    Raises:
        ValueError: if the kind is not known or the tone is outside [0, 1].
    """
    if kind not in _PAINTERS:
        raise ValueError(f"unknown kind {kind!r}; choose one of {', '.join(_PAINTERS)}")
    if not 0 <= tone <= 1:
        raise ValueError(f"tone must be between 0 and 1, got {tone}")
    colours = _PAINTERS[kind](np.random.default_rng(seed), tone)
    return Image.fromarray((colours.clip(0, 1) * 255).round().astype(np.uint8))


def _noise(rng: np.random.Generator, cells: tuple[int, int], octaves: int = 5) -> np.ndarray:
    """Smooth noise [H, W] in [0, 1]: octaves of random grids, from ``cells`` (rows, columns) up."""
    total = np.zeros((HEIGHT, WIDTH))
    for octave in range(octaves):
        grid = Image.fromarray(rng.random((cells[0] * 2**octave + 1, cells[1] * 2**octave + 1)).astype(np.float32))
        total += np.asarray(grid.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) / 2**octave
    return (total - total.min()) / (total.max() - total.min())


def _blur(field: np.ndarray, radius: float) -> np.ndarray:
    image = Image.fromarray((field.clip(0, 1) * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float64) / 255


def _mix(first: np.ndarray, second: np.ndarray, share: np.ndarray | float) -> np.ndarray:
    """Colours between ``first`` and ``second``; a share [H, W] is spread over the channels."""
    share = share[..., None] if isinstance(share, np.ndarray) and share.ndim == 2 else share
    return first * (1 - share) + second * share


def _rgb(*values: float) -> np.ndarray:
    return np.array(values)


def _down() -> np.ndarray:
    """[H, W] rising from 0 at the top to 1 at the bottom."""
    return np.repeat(np.linspace(0, 1, HEIGHT)[:, None], WIDTH, axis=1)


def _ridge(rng: np.random.Generator, level: float, roughness: float) -> np.ndarray:
    """[H, W] mask, 1 below a hilly skyline around ``level`` (fraction of the height)."""
    line = np.zeros(WIDTH)
    for octave in range(7):
        knots = rng.normal(size=2 ** (octave + 1) + 1) * roughness / 1.9**octave
        line += np.interp(np.linspace(0, 1, WIDTH), np.linspace(0, 1, len(knots)), knots)
    return (_down() > level + line - line.mean()).astype(np.float64)


def _stars(rng: np.random.Generator, count: int) -> np.ndarray:
    """[H, W, 3] light of points of many brightnesses and slightly different colours."""
    light = np.zeros((HEIGHT, WIDTH, 3))
    rows, columns = rng.integers(0, HEIGHT, count), rng.integers(0, WIDTH, count)
    light[rows, columns] = rng.pareto(1.6, count)[:, None] * 0.35 * rng.uniform(0.75, 1.0, (count, 3))
    glow = np.stack([_blur(light[..., c] * 0.7, 1.4) for c in range(3)], axis=-1)
    return light + 2.5 * glow


def _white_wall(rng: np.random.Generator, tone: float) -> np.ndarray:
    wall = _mix(_rgb(0.93, 0.90, 0.84), _rgb(0.86, 0.90, 0.93), tone)
    x = np.repeat(np.linspace(-1, 1, WIDTH)[None], HEIGHT, axis=0)
    light = 1 - 0.10 * (x - rng.uniform(-1, 1)) ** 2 / 2 - 0.08 * np.abs(_down() - rng.uniform(0.2, 0.6))
    plaster = 0.02 * (_noise(rng, (40, 52), 3) - 0.5) + 0.03 * (_noise(rng, (3, 4), 3) - 0.5)
    picture = wall * (light + plaster)[..., None]
    edge = int(HEIGHT * rng.uniform(0.76, 0.84))
    floor = _mix(_rgb(0.55, 0.42, 0.30), _rgb(0.46, 0.46, 0.48), tone) * rng.uniform(0.85, 1.1)
    grain = 0.85 + 0.3 * _noise(rng, (60, 4), 3)
    picture[edge:] = (floor * grain[..., None])[edge:]
    picture[edge - 9 : edge] = wall * 0.97
    picture[edge - 1 : edge + 2] *= 0.7
    return picture


def _fog(rng: np.random.Generator, tone: float) -> np.ndarray:
    air = _mix(_rgb(0.78, 0.80, 0.82), _rgb(0.66, 0.70, 0.76), tone)
    picture = np.ones((HEIGHT, WIDTH, 3)) * air
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    for depth in (0.12, 0.22, 0.4):  # faint conifers, farther ones first
        trees = np.zeros((HEIGHT, WIDTH))
        for _ in range(6):
            top, foot = (
                HEIGHT * rng.uniform(0.35 - depth * 0.7, 0.5 - depth * 0.7),
                HEIGHT * (0.62 + depth * 0.4),
            )
            down = (y - top) / (foot - top)
            tiers = 0.65 + 0.35 * (down * rng.integers(6, 10) % 1)
            half = down * tiers * (foot - top) * rng.uniform(0.16, 0.24)
            trees[(np.abs(x - rng.uniform(0, WIDTH)) < half) & (down > 0) & (down < 1)] = 1
        picture = _mix(picture, air * 0.45, _blur(trees, 5 - 5 * depth) * depth)
    ground = np.clip((_down() - 0.6) / 0.4, 0, 1) ** 1.5
    soil = _mix(_rgb(0.42, 0.44, 0.38), _rgb(0.36, 0.36, 0.36), tone) * (0.8 + 0.4 * _noise(rng, (30, 20)))[..., None]
    picture = _mix(picture, soil, ground * 0.75)
    return _mix(picture, air * 1.08, 0.45 * _noise(rng, (2, 3), 4) * (1 - 0.6 * ground))


def _sunset(rng: np.random.Generator, tone: float) -> np.ndarray:
    level = rng.uniform(0.66, 0.74)
    height = np.clip(_down() / level, 0, 1)
    top = _mix(_rgb(0.16, 0.22, 0.48), _rgb(0.30, 0.16, 0.38), tone)
    middle = _mix(_rgb(0.85, 0.45, 0.40), _rgb(0.80, 0.35, 0.50), tone)
    low = _mix(_rgb(1.0, 0.72, 0.32), _rgb(0.98, 0.58, 0.36), tone)
    sky = _mix(_mix(top, middle, np.clip(height * 1.6, 0, 1)), low, np.clip(height * 2 - 1, 0, 1) ** 1.3)
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    distance = np.hypot(x - WIDTH * rng.uniform(0.25, 0.75), y - HEIGHT * (level - rng.uniform(0.03, 0.12)))
    clouds = np.clip(_noise(rng, (9, 3), 5) * 2.2 - 1.2, 0, 1)
    sky = _mix(sky, _mix(_rgb(0.45, 0.25, 0.38), _rgb(1.0, 0.62, 0.45), height), clouds * 0.7)
    sky = sky + np.exp(-distance / 60)[..., None] * _rgb(0.7, 0.5, 0.25) * 0.8
    sky = _mix(sky, _rgb(1.0, 0.95, 0.75), np.clip(15 - distance, 0, 1))
    far, near = _ridge(rng, level, 0.025), _ridge(rng, level + 0.07, 0.03)
    picture = _mix(sky, _rgb(0.26, 0.16, 0.24), far * 0.85)
    ground = _rgb(0.09, 0.07, 0.09) * (0.6 + 0.9 * _noise(rng, (40, 30)))[..., None]
    return _mix(picture, ground, near)


def _aurora(rng: np.random.Generator, tone: float) -> np.ndarray:
    night = _mix(_rgb(0.01, 0.03, 0.09), _rgb(0.03, 0.10, 0.16), _down())
    picture = night + 0.5 * _stars(rng, 260)
    glow = _mix(_rgb(0.25, 1.0, 0.50), _rgb(0.30, 0.85, 0.85), tone)
    fringe = _mix(_rgb(0.55, 0.25, 0.80), _rgb(0.85, 0.25, 0.55), tone)
    columns = np.linspace(0, 1, WIDTH)
    rows = np.linspace(0, 1, HEIGHT)[:, None]
    for _ in range(3):  # curtains hang from a wavy lower edge and fade upwards
        edge = rng.uniform(0.35, 0.6) + sum(
            rng.uniform(0.02, 0.07) * np.sin(columns * rng.uniform(3, 14) + rng.uniform(0, 6)) for _ in range(3)
        )
        above = edge[None] - rows
        rays = 0.45 + 0.55 * _noise(rng, (1, 26), 3)
        body = np.where(above > 0, np.exp(-above / 0.16), np.exp(above / 0.015)) * rays
        picture = picture + 0.5 * _blur(body, 2)[..., None] * glow
        picture = picture + 0.3 * (_blur(body, 6) * np.clip(above / 0.3, 0, 1))[..., None] * fringe
    land = _ridge(rng, rng.uniform(0.68, 0.74), 0.03)
    ground = _mix(_rgb(0.05, 0.07, 0.08), _rgb(0.22, 0.28, 0.33), tone) * (0.6 + 0.7 * _noise(rng, (20, 14)))[..., None]
    return _mix(picture, ground + 0.06 * glow, land)


def _space(rng: np.random.Generator, tone: float) -> np.ndarray:
    colour = _mix(_rgb(0.16, 0.10, 0.35), _rgb(0.35, 0.14, 0.12), tone)
    nebula = np.clip(_noise(rng, (3, 4), 6) * 2.0 - 0.9, 0, 1) * _noise(rng, (2, 2), 3)
    return _rgb(0.01, 0.01, 0.03) + nebula[..., None] * colour * 1.4 + _stars(rng, 700)


_PAINTERS: dict[str, Callable[[np.random.Generator, float], np.ndarray]] = {
    "white_wall": _white_wall,
    "fog": _fog,
    "sunset": _sunset,
    "aurora": _aurora,
    "space": _space,
}
