"""Files that are no usable sound, one function for each kind."""

import av
import numpy as np
import soundfile
from PIL import Image

from tests.support.tiny_audio import tone

RATE = 16_000


def with_size(path, size):
    path.write_bytes(path.read_bytes()[:size])


def text(path):
    path.write_text("These are words. " * 100)


def picture(path):
    Image.new("RGB", (64, 64), "red").save(path, "PNG")


def playlist(path):
    """A playlist may name any file of the server."""
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n")


def nothing(path):
    path.write_bytes(b"")


def no_samples(path):
    soundfile.write(path, np.zeros(0, np.float32), RATE, format="WAV")


def film_without_sound(path):
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        frames = [av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24") for _ in range(5)]
        for packet in [packet for frame in [*frames, None] for packet in stream.encode(frame)]:
            container.mux(packet)


def short(path):
    soundfile.write(path, tone(440, 0.19), RATE, format="WAV")


def endless(path):
    """Small as a file, hours as samples."""
    with soundfile.SoundFile(path, "w", 8_000, 1, format="FLAC") as file:
        for _ in range(11):
            file.write(np.zeros(60 * 8_000, np.int16))


def odd_rate(path):
    soundfile.write(path, np.zeros(1_000), 100, format="WAV")


def not_numbers(path):
    soundfile.write(path, np.full(RATE, np.nan), RATE, format="WAV", subtype="FLOAT")


def silence(path):
    soundfile.write(path, np.zeros(RATE), RATE, format="WAV")


def hum(path):
    """A constant is no sound either."""
    soundfile.write(path, np.full(RATE, 0.5), RATE, format="WAV")


def damaged(path):
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 20 * RATE), RATE, format="FLAC")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)
