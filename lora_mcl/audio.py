"""Audio preprocessing: from a file or clip to the mono samples of a model, or a ``MediaError`` that names the fault."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import librosa
import numpy as np

from lora_mcl.audio_readers import DECODING_ERRORS, ffmpeg_blocks, read_blocks, stated_seconds
from lora_mcl.errors import MediaError, OptionsError
from lora_mcl.phrases import Phrase
from lora_mcl.types import AudioClip, Window

MIN_SECONDS = 0.2
MAX_SECONDS = 600
SILENCE = 1e-4
"""The largest swing that counts as silence, where 1 is full scale: -80 dB."""

_RATES = (4_000, 768_000)
# A mix this much quieter in energy than unrelated channels would give has lost opposite ones: -20 dB.
_CANCELLED = 0.01
# What lossy formats add at the ends of a sound, at most about 0.1 s: readers differ by it, and limits allow it.
_SLACK_SECONDS = 0.25
# Of one sound in memory before resampling: 10 minutes at 96 kHz, 230 MB.
_MAX_SAMPLES = round((MAX_SECONDS + _SLACK_SECONDS) * 96_000)


def load_window(
    media: AudioClip | str | Path, start: float | None = None, *, sampling_rate: int, max_seconds: float
) -> tuple[np.ndarray, Window]:
    """Read a sound and keep the part that a model takes.

    Args:
        media: a clip, or the path of one; all channels are mixed.
        start: where the part begins, in seconds. By default at 0 or, in a sound longer than ``max_seconds``, at its
            first sound.
        sampling_rate: what the model takes, in Hz.
        max_seconds: the longest clip that the model takes.

    Returns:
        The samples [N], float32, and where in the sound they are.

    Raises:
        MediaError: it is missing, empty, no sound, damaged, silent, or too short or too long.
        OptionsError: ``start`` is not within it.
    """
    name = Phrase("The clip") if isinstance(media, AudioClip) else Path(media).name
    samples, notices = read_audio(media, sampling_rate)
    duration = len(samples) / sampling_rate
    latest = duration - MIN_SECONDS
    if start is None:
        start = _first_sound(samples, sampling_rate, max_seconds)
    if not isinstance(start, int | float) or isinstance(start, bool) or not 0 <= start <= latest:
        last = max(0, math.floor(latest * 10)) / 10
        raise OptionsError(
            Phrase(
                "start must be a number of seconds from 0 to {last:.1f}, not {start!r}.",
                last=last,
                start=start,
            )
        )
    first = round(start * sampling_rate)
    part = samples[first : first + round(max_seconds * sampling_rate)]
    window = Window(
        start=first / sampling_rate,
        end=(first + len(part)) / sampling_rate,
        duration=duration,
        notices=notices,
    )
    if _swing(part) < SILENCE:
        if window.cut:
            raise MediaError(
                Phrase(
                    "{name} is silent from second {start:.1f} to {end:.1f}: choose another sound, or another "
                    "part of it.",
                    name=name,
                    start=window.start,
                    end=window.end,
                )
            )
        raise MediaError(Phrase("{name} is silent: choose another sound, or another part of it.", name=name))
    return part, window


def load_audio(media: AudioClip | str | Path, sampling_rate: int) -> np.ndarray:
    """Samples of ``read_audio``, without its notices."""
    return read_audio(media, sampling_rate)[0]


def mel_frequencies(bins: int, sampling_rate: int) -> np.ndarray:
    """Centre frequency in Hz of each bin [bins] of a log-mel spectrogram of Whisper's kind (Slaney's mel scale)."""
    edges = librosa.mel_frequencies(bins + 2, fmax=sampling_rate / 2)
    return edges[1:-1]


def warm_up() -> None:
    """Import librosa's resampler in a thread, for a server that should not wait: the first use costs 2 to 5 seconds.

    librosa loads its parts on first use, and this one compiles with numba.
    """
    threading.Thread(target=lambda: librosa.resample, name="warm-up-librosa", daemon=True).start()


def read_audio(media: AudioClip | str | Path, sampling_rate: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read a whole sound: mono float32 samples [N] at ``sampling_rate``, channels mixed, resampled by librosa.

    Returns:
        The samples, and notices: sentences for the user about what could not be read.

    Raises:
        MediaError: it is missing, empty, no sound, damaged, or too short or too long.
    """
    if isinstance(media, AudioClip):
        columns = media.samples if media.samples.ndim == 2 else media.samples[:, None]
        name, notices = Phrase("The clip"), ()
        mono = _mix(lambda: [(media.sampling_rate, columns)], name)
    else:
        name = Path(media).name
        mono, notices = _read(Path(media))
    samples = mono.resampled(sampling_rate)
    if len(samples) < MIN_SECONDS * sampling_rate:
        raise MediaError(
            Phrase(
                "{name} is too short ({seconds:.2f} s): at least {least} s are needed.",
                name=name,
                seconds=len(samples) / sampling_rate,
                least=MIN_SECONDS,
            )
        )
    if not np.isfinite(samples).all():
        raise MediaError(
            Phrase(
                "{name} is damaged (it has samples that are no numbers): save it again and retry.",
                name=name,
            )
        )
    return samples, notices


def _read(path: Path) -> tuple[_Mono, tuple[str, ...]]:
    """Read a file by the reader that gets more of it: joined MP3s and chained OGGs end early in libsndfile."""
    mono = _mix(lambda: read_blocks(path), path.name)
    stated = stated_seconds(path)
    if stated > mono.seconds + _SLACK_SECONDS:
        try:
            other = _mix(lambda: ffmpeg_blocks(path), path.name)
        except MediaError:
            other = mono
        if other.seconds > mono.seconds + _SLACK_SECONDS:
            mono = other
    if stated > mono.seconds + max(_SLACK_SECONDS, 0.05 * stated):
        notice = Phrase(
            "Only {read:.1f} of the {stated:.1f} s that {name} states could be read.",
            read=mono.seconds,
            stated=stated,
            name=path.name,
        )
        return mono, (notice,)
    return mono, ()


@dataclass
class _Mono:
    """One channel at the rates it was recorded in: runs of one sampling rate each, in order."""

    runs: list[tuple[int, deque[np.ndarray]]] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    """Samples of each run; counted, because a sum of the blocks' seconds would pass the limit by its rounding."""

    @property
    def seconds(self) -> float:
        return sum(length / rate for length, (rate, _) in zip(self.lengths, self.runs, strict=True))

    def append(self, rate: int, block: np.ndarray, name: str) -> None:
        """Add samples [n], unless the sound becomes too long."""
        if not self.runs or self.runs[-1][0] != rate:
            if not _RATES[0] <= rate <= _RATES[1]:
                raise MediaError(
                    Phrase(
                        "{name} has a sampling rate of {rate} Hz: save it again at 44100 Hz or so.",
                        name=name,
                        rate=rate,
                    )
                )
            self.runs.append((rate, deque()))
            self.lengths.append(0)
        self.lengths[-1] += len(block)
        if self.seconds > MAX_SECONDS + _SLACK_SECONDS:
            raise MediaError(
                Phrase(
                    "{name} is longer than {minutes} minutes: cut out the part you want.",
                    name=name,
                    minutes=MAX_SECONDS // 60,
                )
            )
        if sum(self.lengths) > _MAX_SAMPLES:
            raise MediaError(
                Phrase(
                    "{name} is longer than {minutes:.2g} minutes at {rate} Hz: cut out the part you want, or "
                    "save it at 48000 Hz.",
                    name=name,
                    minutes=_MAX_SAMPLES / rate / 60,
                    rate=rate,
                )
            )
        self.runs[-1][1].append(block)

    def resampled(self, sampling_rate: int) -> np.ndarray:
        """All of it at one rate [N], float32; the blocks are given up on the way, to hold the samples only once."""
        parts = [_resample(_joined(blocks), rate, sampling_rate) for rate, blocks in self.runs]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _mix(open_blocks: Callable[[], Iterable[tuple[int, np.ndarray]]], name: str) -> _Mono:
    """Mean of all channels or, where opposite channels cancel in it, the loudest channel alone.

    Args:
        open_blocks: gives the sound's blocks, from the beginning each time.
    """
    mono = _Mono()
    # Energies: of the mix, of a mix of unrelated channels (1 / C^2 of their sum), and of each channel.
    mixed, unrelated, channels = 0.0, 0.0, np.array([])
    for rate, block in _decoded(open_blocks(), name):  # block [n, C]
        mean = block.mean(axis=1, dtype=np.float32)
        mono.append(rate, mean, name)
        if block.shape[1] > 1:
            energy = np.einsum("nc,nc->c", block, block, dtype=np.float64)
            mixed += float(np.einsum("n,n->", mean, mean, dtype=np.float64))
            unrelated += float(energy.sum()) / block.shape[1] ** 2
            channels = np.pad(channels, (0, max(0, len(energy) - len(channels))))
            channels[: len(energy)] += energy
    if not mixed < _CANCELLED * unrelated:
        return mono
    loudest = int(channels.argmax())
    mono = _Mono()
    for rate, block in _decoded(open_blocks(), name):
        mono.append(rate, np.ascontiguousarray(block[:, min(loudest, block.shape[1] - 1)], np.float32), name)
    return mono


def _decoded(blocks: Iterable[tuple[int, np.ndarray]], name: str) -> Iterable[tuple[int, np.ndarray]]:
    try:
        yield from blocks
    except DECODING_ERRORS as error:
        raise MediaError(Phrase("{name} is damaged or cut off: save it again and retry.", name=name)) from error


def _joined(blocks: deque[np.ndarray]) -> np.ndarray:
    samples, filled = np.empty(sum(map(len, blocks)), np.float32), 0
    while blocks:
        block = blocks.popleft()
        samples[filled : filled + len(block)] = block
        filled += len(block)
    return samples


def _resample(samples: np.ndarray, rate: int, sampling_rate: int) -> np.ndarray:
    if rate == sampling_rate:  # also keeps librosa's first use, seconds, off the way of sounds that need none
        return samples
    return librosa.resample(samples, orig_sr=rate, target_sr=sampling_rate, res_type="soxr_hq", fix=False)


def _first_sound(samples: np.ndarray, sampling_rate: int, max_seconds: float) -> float:
    """Second at which a window of ``max_seconds`` begins by default: at the first sound, but not cut short at the end.

    In steps of 0.1 s; 0 for a sound that fits into the window, or is silent throughout.
    """
    step = sampling_rate // 10
    latest = len(samples) // step - math.floor(max_seconds * 10)  # steps, the last one that leaves a full window
    blocks = samples[: len(samples) // step * step].reshape(-1, step)  # [steps, samples of a step]
    loud = np.abs(blocks - blocks.mean(axis=1, keepdims=True)).max(axis=1) >= SILENCE
    return min(int(loud.argmax()), max(0, latest)) / 10


def _swing(samples: np.ndarray) -> float:
    """The largest deviation from the mean."""
    return float(np.abs(samples - samples.mean()).max())
