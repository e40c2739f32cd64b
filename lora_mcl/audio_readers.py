"""Decoders of sound files: libsndfile first, and the FFmpeg libraries inside PyAV for the rest.

libsndfile reads WAV, FLAC, OGG, MP3, AIFF and others; FFmpeg also reads M4A, WebM and the sound of films. Files are
decoded block by block, so that a small file that unpacks to hours costs no memory.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path

import av
import numpy as np
import soundfile
from av.container import InputContainer

from lora_mcl.errors import MediaError
from lora_mcl.files import check_file
from lora_mcl.phrases import Phrase

Blocks = Generator[tuple[int, np.ndarray], None, None]
"""A sound piece by piece: its sampling rate in Hz and float samples [n, channels]."""

AUDIO_FORMATS = "WAV, FLAC, OGG, MP3, M4A, MP4, WebM"
"""Some of what can be read, for messages."""

DECODING_ERRORS = (soundfile.SoundFileError, av.FFmpegError, TypeError, ValueError, OSError)

_BLOCK = 1 << 16
# Frames that libsndfile states of a stream whose header has no length.
_UNKNOWN_LENGTH = 0x7FFF_FFFF_FFFF_FFFF
# Formats that FFmpeg may detect. Playlists are not among them: they make it open other files.
_CONTAINERS = "mov,matroska,webm,ogg,mp3,aac,flac,wav,w64,aiff,caf,au,asf,amr,avi,flv,mpegts,mpeg,ac3,eac3,wv,tta,ape"
# Raw streams state no length: FFmpeg's is a guess from the bit rate.
_WITHOUT_LENGTH = {"mp3", "aac", "ac3", "eac3", "amr", "mpegts", "mpeg"}


def sndfile_blocks(path: Path) -> Blocks:
    """Blocks of a file, decoded by libsndfile."""
    with soundfile.SoundFile(path) as file:
        for block in file.blocks(_BLOCK, dtype="float32", always_2d=True):
            yield file.samplerate, block


def ffmpeg_blocks(path: Path) -> Blocks:
    """Blocks of a file's first sound track, decoded by FFmpeg; the sampling rate may change on the way.

    Raises:
        MediaError: a film without sound.
    """
    with _opened(path) as container:
        if not container.streams.audio:
            raise MediaError(Phrase("{name} has no sound in it: choose another file.", name=path.name))
        as_floats = av.AudioResampler(format="fltp")
        for frame in chain(container.decode(audio=0), [None]):
            for piece in as_floats.resample(frame):
                yield piece.sample_rate, piece.to_ndarray().T


READERS = (sndfile_blocks, ffmpeg_blocks)


def read_blocks(path: Path) -> Blocks:
    """Open a sound file by the first reader that decodes a block of it.

    Raises:
        MediaError: at once, if it is missing, empty or no sound; one of ``DECODING_ERRORS`` while reading, if it is
            damaged.
    """
    check_file(path)
    opened = False
    for reader in READERS:
        blocks = reader(path)
        try:
            # Only the first block shows whether this library can read the file.
            return _after(next(blocks), blocks)
        except StopIteration:
            opened = True
        except DECODING_ERRORS:
            continue
    if opened:
        raise MediaError(Phrase("{name} holds no sound: choose another file.", name=path.name))
    raise MediaError(
        Phrase(
            "{name} is not a sound this program can read: give it as {formats} or similar.",
            name=path.name,
            formats=AUDIO_FORMATS,
        )
    )


def stated_seconds(path: Path) -> float:
    """Length of a file by its packets and headers, without decoding: what a complete reading should give.

    Returns:
        Seconds; 0 where neither library can say.
    """
    return max(_by_packets(path), _by_header(path))


def header_seconds(path: Path) -> float:
    """Length of a file as its header states it, without a look at the rest; 0 where there is none."""
    try:
        return soundfile.info(path).duration
    except DECODING_ERRORS:
        pass
    try:
        with _opened(path) as container:
            return (container.duration or 0) / av.time_base
    except DECODING_ERRORS:
        return 0.0


def _by_packets(path: Path) -> float:
    """Sum of the packets' durations, and the container's own length where its header states one."""
    try:
        with _opened(path) as container:
            stream = container.streams.audio[0]
            ticks = sum(packet.duration or 0 for packet in container.demux(stream))
            packets = float(ticks * stream.time_base)
            raw = set(container.format.name.split(",")) & _WITHOUT_LENGTH
            header = 0.0 if raw or stream.duration is None else float(stream.duration * stream.time_base)
            return max(packets, header)
    except (*DECODING_ERRORS, IndexError):
        return 0.0


def _by_header(path: Path) -> float:
    try:
        info = soundfile.info(path)
    except DECODING_ERRORS:
        return 0.0
    seconds = 0.0 if info.frames == _UNKNOWN_LENGTH else info.duration
    with path.open("rb") as file:
        kind, size = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
    # libsndfile counts what is there of a WAV, not what its header states: b"RIFF", then the bytes that follow.
    closed = kind == b"RIFF" and size + 8 < 1 << 31
    return seconds * max(1, (size + 8) / path.stat().st_size) if closed else seconds


class _File(io.BufferedReader):
    """An open file in which a seek before its start gives -1, as FFmpeg expects; PyAV prints what is raised there."""

    def seek(self, *place: int) -> int:
        try:
            return super().seek(*place)
        except OSError:
            return -1


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    # From an open file and not by its name, which FFmpeg might take for an address.
    with _File(io.FileIO(path)) as file, av.open(file, options={"format_whitelist": _CONTAINERS}) as container:
        yield container


def _after(first: tuple[int, np.ndarray], blocks: Blocks) -> Blocks:
    with closing(blocks):
        yield first
        yield from blocks
