"""Perspective views out of equirectangular panoramas, and display colours out of their HDR light."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from scipy.ndimage import grey_closing, map_coordinates, maximum_filter

SIZE = (480, 360)
"""Width and height of a view, in pixels."""
_BRIGHTEST = 60.0
"""Radiance limit relative to the exposure: light sources beyond it are white anyway."""


def read_exr(data: bytes) -> np.ndarray:
    """Radiance [H, W, 3] (float32, linear, >= 0) of an OpenEXR file's RGB channels."""
    import OpenEXR  # only building the photographs needs it

    # The binding reads from a path only.
    with tempfile.NamedTemporaryFile(suffix=".exr") as file:
        Path(file.name).write_bytes(data)
        with OpenEXR.File(file.name) as opened:
            channels = opened.channels()
            if "RGB" in channels or "RGBA" in channels:
                pixels = channels["RGB" if "RGB" in channels else "RGBA"].pixels[..., :3]
            else:
                pixels = np.stack([channels[name].pixels for name in "RGB"], axis=-1)
            # Suns overflow half floats.
            radiance = np.nan_to_num(pixels.astype(np.float32), nan=65504.0, posinf=65504.0).clip(0, 65504.0)
    return _without_rings(radiance)


def _without_rings(radiance: np.ndarray) -> np.ndarray:
    """Fill the dark rings that lossy HDR compression leaves around lamps and windows."""
    luminance = radiance.mean(-1)
    near_light = maximum_filter(luminance, size=7) > 40 * np.median(luminance)
    return np.where(near_light[..., None], grey_closing(radiance, size=(3, 3, 1)), radiance)


def perspective(panorama: np.ndarray, yaw: float, pitch: float, fov: float) -> np.ndarray:
    """What a pinhole camera in the panorama's centre sees, [360, 480, C] of ``panorama`` [H, W, C].

    Args:
        panorama: equirectangular, its left edge at -180 degrees and its top at the zenith.
        yaw: degrees to the right of the panorama's middle.
        pitch: degrees above the horizon.
        fov: horizontal field of view in degrees, below 180.
    """
    height, width = panorama.shape[:2]
    focal = SIZE[0] / 2 / np.tan(np.radians(fov) / 2)
    x, y = np.meshgrid(np.arange(SIZE[0]) - SIZE[0] / 2 + 0.5, np.arange(SIZE[1]) - SIZE[1] / 2 + 0.5)
    tilt = np.radians(-pitch)
    down = y * np.cos(tilt) + focal * np.sin(tilt)
    ahead = focal * np.cos(tilt) - y * np.sin(tilt)
    longitude = np.arctan2(x, ahead) + np.radians(yaw)
    latitude = np.arctan2(-down, np.hypot(x, ahead))
    columns = (longitude / (2 * np.pi) + 0.5) % 1 * width - 0.5
    rows = (0.5 - latitude / np.pi) * height - 0.5
    channels = [
        map_coordinates(panorama[..., channel], [rows, columns], order=1, mode="grid-wrap")
        for channel in range(panorama.shape[2])
    ]
    return np.stack(channels, axis=-1)


def tone_map(radiance: np.ndarray, key: float) -> np.ndarray:
    """Display colours [H, W, 3] (uint8, sRGB) of linear ``radiance`` by Narkowicz's filmic curve (2015).

    ``key`` is the grey that the view's geometric mean luminance is exposed to: 0.3 looks like daylight,
    0.03 like night.
    """
    luminance = radiance @ np.array([0.2126, 0.7152, 0.0722])
    exposure = key / np.exp(np.log(luminance + 1e-4).mean())
    light = np.minimum(radiance * exposure, _BRIGHTEST)
    film = (light * (2.51 * light + 0.03)) / (light * (2.43 * light + 0.59) + 0.14)
    return (film.clip(0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8)
