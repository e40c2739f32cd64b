"""Sounds in files and in memory, and their pitch."""

import io

import av
import numpy as np
import soundfile

from lora_mcl.types import AudioClip
from tests.support.odd_sounds import (
    RATE,
)
from tests.support.tiny_audio import tone


def pitch(samples: np.ndarray, rate: int = RATE) -> float:
    """The strongest frequency, in Hz, to a few hundredths: the top of a parabola through the highest bins."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    top = int(spectrum.argmax())
    a, b, c = np.log(spectrum[top - 1 : top + 2] + 1e-12)
    return (top + (a - c) / (2 * (a - 2 * b + c))) * rate / len(samples)


def encode(path, samples: np.ndarray, rate: int, codec: str, layout: str = "mono") -> None:
    """Write samples [N] by FFmpeg, for what libsndfile does not write; the same in every channel of ``layout``."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        stream.bit_rate = 128_000
        channels = av.AudioLayout(layout).nb_channels
        frame = av.AudioFrame.from_ndarray(np.tile(samples, (channels, 1)), format="fltp", layout=layout)
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def rising(seconds: float) -> AudioClip:
    """Each second is 100 Hz higher than the one before: 100, 200, 300, ..."""
    return AudioClip(np.concatenate([tone(100 * (k + 1), 1.0) for k in range(int(seconds))]), RATE)


def encoded(samples: np.ndarray, rate: int, form: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form)
    return file.getvalue()
