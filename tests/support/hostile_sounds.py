"""Generated sound files that somebody might upload by accident or on purpose: damaged, odd, misnamed, bombs."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from functools import cache

import av
import numpy as np
import soundfile

from tests.support.hostile_pictures import ARCHIVE, PAGE, PROGRAM, corrupted, cut
from tests.support.hostile_pictures import whole as whole_picture
from tests.support.tiny_audio import chirp

Build = Callable[[], bytes]
RATE = 16_000

# Written by libsndfile: format and subtype.
SNDFILE = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "w64": ("W64", "PCM_16"),
}
# Written by FFmpeg: container and codec.
FFMPEG = {"m4a": ("mp4", "aac"), "webm": ("webm", "libopus"), "mkv": ("matroska", "aac"), "opus": ("ogg", "libopus")}
ENDINGS = (*SNDFILE, *FFMPEG)


def sndfile(samples: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str = "PCM_16") -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=kind, subtype=subtype)
    return out.getvalue()


def ffmpeg(samples: np.ndarray, rate: int, container: str, codec: str, film: bool = False) -> bytes:
    """A sound in one of FFmpeg's containers; next to moving pictures where ``film``."""
    out = io.BytesIO()
    frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
    frame.sample_rate = rate
    with av.open(out, "w", format=container) as file:
        streams = [(file.add_stream(codec, rate=rate, layout="mono"), [frame])]
        if film:
            pictures = file.add_stream("mpeg4", rate=10)
            pictures.width = pictures.height = 32
            black = np.zeros((32, 32, 3), np.uint8)
            streams.append((pictures, [av.VideoFrame.from_ndarray(black, format="rgb24") for _ in range(8)]))
        for stream, frames in streams:
            for packet in [packet for frame in [*frames, None] for packet in stream.encode(frame)]:
                file.mux(packet)
    return out.getvalue()


@cache
def whole(ending: str) -> bytes:
    """A good file: 0.8 s."""
    if ending in SNDFILE:
        return sndfile(chirp(0.8), RATE, *SNDFILE[ending])
    rate = 48_000
    return ffmpeg(chirp(0.8, rate), rate, *FFMPEG[ending])


def flac_of(seconds: int) -> bytes:
    """A click a second, in between silence, which FLAC packs 1,000 to 1."""
    out, second = io.BytesIO(), np.zeros(RATE, np.int16)
    second[0] = 20_000
    with soundfile.SoundFile(out, "w", RATE, 1, format="FLAC", subtype="PCM_16") as file:
        for _ in range(seconds):
            file.write(second)
    return out.getvalue()


def wave(form: int, channels: int, rate: int, bits: int, data: bytes, claimed: int | None = None) -> bytes:
    """A WAV file by hand, which may claim to hold more than it does."""
    block = channels * bits // 8
    fields = struct.pack("<HHIIHH", form, channels, rate, (rate * block) % 2**32, block % 2**16, bits)
    size = len(data) if claimed is None else claimed
    body = b"WAVEfmt " + struct.pack("<I", len(fields)) + fields + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", min(len(body) + size - len(data), 2**32 - 1)) + body


def floats(samples: np.ndarray, rate: int = RATE) -> bytes:
    return sndfile(samples.astype(np.float32), rate, "WAV", "FLOAT")


def with_one(value: float) -> np.ndarray:
    samples = chirp(0.8)
    samples[5_000] = value
    return samples


def channels(count: int) -> np.ndarray:
    return np.stack([chirp(0.8) * (1 + n) / count for n in range(count)], axis=1)


def pcm(seconds: float) -> bytes:
    return (chirp(seconds) * 20_000).astype("<i2").tobytes()


GOOD: dict[str, Build] = {
    **{f"whole.{ending}": (lambda e=ending: whole(e)) for ending in ENDINGS},
    **{
        f"{subtype}.wav": (lambda s=subtype: sndfile(chirp(0.8), RATE, "WAV", s))
        for subtype in ("PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM")
    },
    **{f"rate-{rate}.wav": (lambda r=rate: sndfile(chirp(0.8, r), r)) for rate in (4_000, 11_025, 96_000, 192_000)},
    **{f"channels-{n}.wav": (lambda n=n: sndfile(channels(n))) for n in (2, 6, 7, 32)},
    "channels-7.flac": lambda: sndfile(channels(7), RATE, "FLAC"),
    "clipped.wav": lambda: floats((chirp(0.8) * 100).clip(-1, 1)),
    "louder-than-full.wav": lambda: floats(chirp(0.8) * 1e6),
    "constant-added.wav": lambda: floats(chirp(0.8) * 0.1 + 0.8),
    "film.mp4": lambda: ffmpeg(chirp(0.8, 48_000), 48_000, "mp4", "aac", film=True),
    "no-ending": lambda: whole("wav"),
    "picture.png": lambda: whole("mp3"),
    **{f"{e}-inside.{other}": (lambda e=e: whole(e)) for e, other in zip(ENDINGS, [*ENDINGS[1:], "txt"], strict=True)},
    "tail.wav": lambda: whole("wav") + bytes(999),
    "shortest.wav": lambda: sndfile(chirp(0.2)),
}

REFUSED: dict[str, tuple[Build, str]] = {
    "nothing.wav": (lambda: b"", "is empty"),
    "no-samples.wav": (lambda: sndfile(np.zeros(0)), "holds no sound|too short|is not a sound|is empty"),
    "no-samples.flac": (lambda: sndfile(np.zeros(0), RATE, "FLAC"), "holds no sound|too short|is not a sound|is empty"),
    "one-sample.wav": (lambda: sndfile(np.ones(1)), "too short"),
    "short.wav": (lambda: sndfile(chirp(0.1)), "too short"),
    "silent.wav": (lambda: sndfile(np.zeros(RATE)), "is silent"),
    "constant.wav": (lambda: floats(np.full(RATE, 0.7)), "is silent"),
    "nan.wav": (lambda: floats(with_one(np.nan)), "damaged"),
    "inf.wav": (lambda: floats(with_one(np.inf)), "damaged"),
    "all-nan.wav": (lambda: floats(np.full(RATE, np.nan)), "damaged"),
    "1-hertz.wav": (lambda: wave(1, 1, 1, 16, pcm(0.8)), "sampling rate of 1 Hz"),
    "4-gigahertz.wav": (lambda: wave(1, 1, 2**32 - 1, 16, pcm(0.8)), "sampling rate|is not a sound|too short"),
    "picture-inside.wav": (lambda: whole_picture("jpg"), "is not a sound|has no sound"),
    "animation-inside.mp3": (lambda: whole_picture("gif"), "is not a sound|has no sound"),
    **{
        f"{name}-inside.{ending}": ((lambda d=data: d), "is not a sound")
        for ending in ("wav", "mp3")
        for name, data in (
            ("text", b"this is no sound"),
            ("page", PAGE),
            ("program", PROGRAM),
            ("archive", ARCHIVE),
            ("zeros", bytes(1_000)),
            ("playlist", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"),
            ("concat", b"ffconcat version 1.0\nfile /etc/passwd\n"),
            ("description", b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n"),
        )
    },
}

BOMBS: dict[str, tuple[Build, str]] = {
    "hour.flac": (lambda: flac_of(3_600), "longer than 10 minutes"),
    "601-seconds.flac": (lambda: flac_of(601), "longer than 10 minutes"),
}

HEAVY: dict[str, Build] = {
    "10-minutes.flac": lambda: flac_of(600),
    "claims-4-gigabytes.wav": lambda: wave(1, 1, RATE, 16, pcm(0.8), claimed=2**32 - 20),
    "1000-channels.wav": lambda: wave(1, 1_000, RATE, 16, bytes(2_000 * 100)),
}

CUTS = (4, 16, 64, 0.25, 0.5, 0.9, -1)
DAMAGED: dict[str, Build] = {
    **{f"cut-{part}.{ending}": (lambda e=ending, p=part: cut(whole(e), p)) for ending in ENDINGS for part in CUTS},
    **{f"corrupt-{n}.{ending}": (lambda e=ending, n=n: corrupted(whole(e), n)) for ending in ENDINGS for n in range(3)},
    "huge.wav": lambda: floats(with_one(3e38)),
    "no-channels.wav": lambda: wave(1, 0, RATE, 16, pcm(0.8)),
    "no-rate.wav": lambda: wave(1, 1, 0, 16, pcm(0.8)),
    "no-bits.wav": lambda: wave(1, 1, RATE, 0, pcm(0.8)),
    "unknown-codec.wav": lambda: wave(0x1234, 1, RATE, 16, pcm(0.8)),
    "never-closed.wav": lambda: wave(1, 1, RATE, 16, pcm(0.8), claimed=0),
    "two-joined.wav": lambda: whole("wav") * 2,
    "two-joined.mp3": lambda: whole("mp3") * 2,
    "two-joined.ogg": lambda: whole("ogg") * 2,
    "mp3-after-wav.wav": lambda: whole("wav") + whole("mp3"),
}
