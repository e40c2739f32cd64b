"""A sound in memory, the part of it that a model gets, and how that looks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lora_mcl.errors import MediaError
from lora_mcl.phrases import Phrase


@dataclass(frozen=True, eq=False)
class AudioClip:
    """A sound in memory.

    Attributes:
        samples: floats [N] or, for C channels, [N, C]; full scale is 1.
        sampling_rate: samples a second, in Hz.
    """

    samples: np.ndarray
    sampling_rate: int

    def __post_init__(self) -> None:
        if isinstance(self.sampling_rate, bool) or not isinstance(self.sampling_rate, int | np.integer):
            raise MediaError(f"An audio clip needs its sampling rate as a whole number, not {self.sampling_rate!r}.")
        if self.samples.ndim not in (1, 2) or not np.issubdtype(self.samples.dtype, np.floating):
            raise MediaError(
                "An audio clip needs its samples as floats [N] or [N, channels], "
                f"not {self.samples.dtype} {list(self.samples.shape)}."
            )


@dataclass(frozen=True)
class Window:
    """The part of a sound that a model gets.

    Attributes:
        start, end, duration: of the part, and of the whole sound, in seconds.
        notices: sentences for the user about how the sound was read, such as one that could not be read to its end.
    """

    start: float
    end: float
    duration: float
    notices: tuple[str, ...] = ()

    @property
    def cut(self) -> bool:
        """Whether the model gets only a part."""
        # Less than the notice could show does not count.
        return self.end - self.start < self.duration - 0.05

    @property
    def notice(self) -> str:
        """A sentence for the user whose sound was cut; empty otherwise."""
        if not self.cut:
            return ""
        return Phrase(
            "The model takes second {start:.1f} to {end:.1f} of this sound's {duration:.1f}.", **self.to_dict()
        )

    def to_dict(self) -> dict[str, float]:
        return {"start": self.start, "end": self.end, "duration": self.duration}


@dataclass(frozen=True, eq=False)
class AudioView:
    """The part of a sound that a model gets, and its log-mel spectrogram.

    Attributes:
        window: the part of it.
        log_mel: [mel bins, frames], lowest pitch first; the loudest value is at most 2 above the softest.
        sampling_rate: of the model's input, in Hz; see ``audio.mel_frequencies`` for the bins' frequencies.
    """

    window: Window
    log_mel: np.ndarray
    sampling_rate: int = 16_000
