"""The spectrogram of a model's input, and its captions."""

import base64
import io

import numpy as np
from PIL import Image

from lora_mcl.types import AudioView, Window
from ui.audio_view import audio_view_html, log_mel_uri


def picture(log_mel: np.ndarray) -> np.ndarray:
    """The picture's ink and opacity [rows, columns, 2], as a browser would decode it."""
    kind, data = log_mel_uri(log_mel).split(",")
    assert kind == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        return np.asarray(image.convert("LA"))


def test_low_pitch_is_at_the_bottom_and_time_runs_right():
    log_mel = np.full((10, 40), -1.0)
    log_mel[1, :20] = 1.0  # first half: a low tone
    log_mel[7, 20:] = 1.0  # second half: a high one
    shown = picture(log_mel)
    assert shown.shape == (10, 40, 2) and shown[..., 0].max() <= 2
    rows = shown[..., 1].argmax(axis=0)
    assert set(rows[:20]) == {8} and set(rows[20:]) == {2}


def test_the_louder_the_more_opaque():
    """Two units are 80 dB, all that the features span; the loudest is solid at any level."""
    shown = picture(np.repeat([[0.7, 0.2, -0.3, -1.3, -4.0]], 8, axis=0).repeat(20, axis=1))
    levels = shown[4, 10::20, 1].astype(int)
    assert np.abs(levels - np.array([255, 191, 127, 0, 0])).max() <= 8


def test_a_long_clip_is_no_wider_than_a_screen():
    assert picture(np.zeros((128, 3000))).shape == (128, 1000, 2)


def test_words():
    cut = audio_view_html(AudioView(Window(2.0, 12.0, 31.25), np.zeros((4, 8))))
    assert "from second 2.0 to 12.0" in cut and "<span>2.0 s</span><span>12.0 s</span>" in cut
    assert '<p class="notice" role="status">The model takes second 2.0 to 12.0 of this sound&#x27;s 31.2.</p>' in cut
    assert "notice" not in audio_view_html(AudioView(Window(0.0, 3.0, 3.0), np.zeros((4, 8))))
    short = Window(0.0, 1.0, 1.0, notices=("Only 1.0 of the 4.0 s that <b>.wav states could be read.",))
    assert "that &lt;b&gt;.wav states could be read" in audio_view_html(AudioView(short, np.zeros((4, 8))))
