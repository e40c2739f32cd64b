"""A log-mel spectrogram as a small picture."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

# More columns than this are finer than any screen shows.
WIDEST = 1000


def log_mel_webp(log_mel: np.ndarray, widest: int = WIDEST) -> bytes:
    """A log-mel spectrogram [bins, frames] as WEBP: ink whose opacity is the loudness, high pitch on top.

    Whisper's features span 2 at most (80 dB): the softest of them is clear, the loudest solid.

    Args:
        widest: columns of the picture at most; frames are averaged where there are more.
    """
    loudness = np.clip((log_mel - log_mel.max() + 2) / 2, 0, 1)
    alpha = Image.fromarray((255 * loudness[::-1]).astype(np.uint8))
    if alpha.width > widest:
        alpha = alpha.resize((widest, alpha.height), Image.Resampling.BOX)
    ink = Image.new("L", alpha.size, 0)
    buffer = io.BytesIO()
    Image.merge("LA", (ink, alpha)).save(buffer, "WEBP", quality=60, alpha_quality=80)
    return buffer.getvalue()
