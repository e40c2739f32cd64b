"""Reading what a user gives as a sound: the mono samples that a model hears, or a ``MediaError`` that says why not.

Whatever libsndfile reads (WAV, FLAC, OGG, MP3, AIFF, ...) is read by it, the rest (M4A, WebM, films' sound, ...)
by the FFmpeg libraries inside PyAV. Files are decoded block by block, so that a small file that unpacks to hours
costs no memory.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from itertools import chain
from math import floor
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr

from lora_mcl.errors import MediaError, OptionsError
from lora_mcl.types import AudioClip, Window

MIN_SECONDS = 0.2
MAX_SECONDS = 600
SILENCE = 1e-4
"""The largest swing that counts as silence, where 1 is full scale: -80 dB."""

Blocks = Generator[tuple[int, np.ndarray], None, None]
"""A sound piece by piece: its sampling rate and float samples [n, channels]."""

_RATES = (4_000, 768_000)
_BLOCK = 1 << 16
# What FFmpeg may take a file for. Playlists are not among them: they make it open other files.
_CONTAINERS = "mov,matroska,webm,ogg,mp3,aac,flac,wav,w64,aiff,caf,au,asf,amr,avi,flv,mpegts,mpeg,ac3,eac3,wv,tta,ape"


def load_window(
    media: AudioClip | str | Path, start: float | None, *, sampling_rate: int, max_seconds: float
) -> tuple[np.ndarray, Window]:
    """Read a sound and keep what a model hears of it.

    Args:
        media: a clip, or the path of one; all channels are mixed.
        start: where to begin, in seconds; by None, a sound longer than ``max_seconds`` begins at its first sound.
        sampling_rate: what the model takes, in Hz.
        max_seconds: how much the model hears at once.

    Returns:
        The samples [N], float32, and where in the sound they are.

    Raises:
        MediaError: it is missing, empty, no sound, damaged, silent, or too short or too long.
        OptionsError: ``start`` is not within it.
    """
    name = "The clip" if isinstance(media, AudioClip) else Path(media).name
    samples = load_audio(media, sampling_rate)
    duration = len(samples) / sampling_rate
    latest = duration - MIN_SECONDS
    if start is None:
        start = _first_sound(samples, sampling_rate, max_seconds)
    if not isinstance(start, int | float) or isinstance(start, bool) or not 0 <= start <= latest:
        raise OptionsError(
            f"start must be a number of seconds from 0 to {max(0, floor(latest * 10)) / 10:.1f}, not {start!r}."
        )
    first = round(start * sampling_rate)
    heard = samples[first : first + round(max_seconds * sampling_rate)]
    window = Window(first / sampling_rate, (first + len(heard)) / sampling_rate, duration)
    if np.abs(heard - heard.mean()).max() < SILENCE:
        where = f" from second {window.start:.1f} to {window.end:.1f}" if window.cut else ""
        raise MediaError(f"{name} is silent{where}: choose another sound, or another part of it.")
    return heard, window


def _first_sound(samples: np.ndarray, sampling_rate: int, max_seconds: float) -> float:
    """Second at which a window of ``max_seconds`` begins by default: at the first sound, but not cut short at the end.

    In steps of 0.1 s; 0 for a sound that fits into the window, or is silent throughout.
    """
    step = sampling_rate // 10
    latest = len(samples) // step - floor(max_seconds * 10)  # steps, the last one that leaves a full window
    if latest <= 0:
        return 0.0
    blocks = samples[: len(samples) // step * step].reshape(-1, step)  # [steps, samples of a step]
    loud = np.abs(blocks - blocks.mean(axis=1, keepdims=True)).max(axis=1) >= SILENCE
    return min(int(loud.argmax()), latest) / 10


def load_audio(media: AudioClip | str | Path, sampling_rate: int) -> np.ndarray:
    """Read a whole sound: mono float32 samples [N] at ``sampling_rate``, channels mixed, resampled by soxr.

    Raises:
        MediaError: it is missing, empty, no sound, damaged, or too short or too long.
    """
    if isinstance(media, AudioClip):
        columns = media.samples if media.samples.ndim == 2 else media.samples[:, None]
        name, blocks = "The clip", [(media.sampling_rate, columns)]
    else:
        name, blocks = Path(media).name, read_blocks(Path(media))
    samples = _resampled(blocks, sampling_rate, name)
    if len(samples) < MIN_SECONDS * sampling_rate:
        raise MediaError(
            f"{name} is too short ({len(samples) / sampling_rate:.2f} s): at least {MIN_SECONDS} s are needed."
        )
    if not np.isfinite(samples).all():
        raise MediaError(f"{name} is damaged (it has samples that are no numbers): save it again and retry.")
    return samples


def read_blocks(path: Path) -> Blocks:
    """Open a sound file and return its blocks.

    Raises:
        MediaError: at once, if it is missing, empty or no sound; while reading, if it is damaged.
    """
    if not path.is_file():
        raise MediaError(f"There is no file {path}.")
    if path.stat().st_size == 0:
        raise MediaError(f"{path.name} is empty: choose another file.")
    for read in (_sndfile_blocks, _ffmpeg_blocks):
        blocks = read(path)
        try:
            # Only the first block tells whether this library can read the file.
            return _after(next(blocks), blocks)
        except StopIteration:
            raise MediaError(f"{path.name} holds no sound: choose another file.") from None
        except (soundfile.SoundFileError, av.FFmpegError, TypeError, ValueError, OSError):
            continue
    raise MediaError(
        f"{path.name} is not a sound this program can read: give it as WAV, FLAC, OGG, MP3, M4A, WebM or similar."
    )


def _after(first: tuple[int, np.ndarray], blocks: Blocks) -> Blocks:
    with closing(blocks):
        yield first
        yield from blocks


def _sndfile_blocks(path: Path) -> Blocks:
    with soundfile.SoundFile(path) as file:
        for block in file.blocks(_BLOCK, dtype="float32", always_2d=True):
            yield file.samplerate, block


def _ffmpeg_blocks(path: Path) -> Blocks:
    # From an open file and not by its name, which FFmpeg might take for an address.
    with path.open("rb") as file, av.open(file, options={"format_whitelist": _CONTAINERS}) as container:
        if not container.streams.audio:
            raise MediaError(f"{path.name} has no sound in it: choose another file.")
        as_floats = av.AudioResampler(format="fltp")
        for frame in chain(container.decode(audio=0), [None]):
            for piece in as_floats.resample(frame):
                yield piece.sample_rate, piece.to_ndarray().T


def _resampled(blocks: Iterable[tuple[int, np.ndarray]], sampling_rate: int, name: str) -> np.ndarray:
    """Mix, resample and join blocks of one sampling rate."""
    rate, pieces, seconds, stream = 0, [], 0.0, None
    try:
        for rate, block in blocks:
            if stream is None:
                if not _RATES[0] <= rate <= _RATES[1]:
                    raise MediaError(f"{name} has a sampling rate of {rate} Hz: save it again at 44100 Hz or so.")
                stream = soxr.ResampleStream(rate, sampling_rate, num_channels=1, dtype="float32")
            seconds += len(block) / rate
            if seconds > MAX_SECONDS:
                raise MediaError(f"{name} is longer than {MAX_SECONDS // 60} minutes: cut out the part you want.")
            pieces.append(stream.resample_chunk(block.mean(axis=1, dtype=np.float32)))
    except (soundfile.SoundFileError, av.FFmpegError, ValueError) as error:
        raise MediaError(f"{name} is damaged or cut off: save it again and retry.") from error
    if stream is None:
        return np.zeros(0, np.float32)
    return np.concatenate([*pieces, stream.resample_chunk(np.zeros(0, np.float32), last=True)])
