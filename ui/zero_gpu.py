"""A captioner on ZeroGPU: Hugging Face lends a Space a GPU for the seconds that one comparison takes.

The models are loaded in the Space's own process, in which there is no GPU. What ``spaces.GPU`` decorates runs in a
forked process that has one; arguments go there, and snapshots come back, as copies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from lora_mcl.bundle_captioner import BundleCaptioner
from lora_mcl.errors import LoraMclError, OptionsError
from lora_mcl.images import load_image
from lora_mcl.scores import CaptionScore
from lora_mcl.types import (
    AudioCaptionSource,
    AudioView,
    CaptionSource,
    CompareOptions,
    Comparison,
    Media,
    never_stop,
)
from ui.modality import AUDIO, ModalityText


@dataclass(frozen=True)
class Lease:
    """Duration of a GPU request: shorter ones are admitted sooner, and use less of a visitor's daily quota.

    Attributes:
        start: seconds to bring the weights onto the GPU and to read the prompt.
        per_token: seconds of a token step, in which all columns write.

    Raises:
        OptionsError: one of them is not a positive number.
    """

    start: float = 8.0
    per_token: float = 0.1

    def __post_init__(self) -> None:
        for name, value in (("start", self.start), ("per_token", self.per_token)):
            if not (math.isfinite(value) and value > 0):
                raise OptionsError(f"The lease's {name} must be a positive number of seconds, not {value!r}.")

    def seconds(self, options: CompareOptions) -> int:
        """Seconds within which a comparison with these options ends, even if every caption grows to the longest."""
        return math.ceil(self.start + self.per_token * options.max_new_tokens)


class ZeroGpuCaptioner(BundleCaptioner):
    """Another captioner's answers, computed on a GPU that is lent for one comparison.

    A comparison whose caller stops it ends with the next token, and so does its lease. While it waits for a GPU it
    has no snapshot yet.
    """

    def __init__(
        self,
        captioner: CaptionSource | AudioCaptionSource,
        modality: ModalityText,
        gpu: Callable[..., Any],
        lease: Lease | None = None,
    ) -> None:
        """Wrap ``captioner``, which takes ``modality``; ``gpu`` is ``spaces.GPU``, to be called before the launch."""
        lease = lease or Lease()
        self.bundle = captioner.bundle
        self._captioner = captioner
        self._modality = modality

        def seconds(media: Media, options: CompareOptions, start: float | None) -> int:
            return lease.seconds(options)

        @gpu(duration=seconds)
        def compare_on_gpu(
            media: Media, options: CompareOptions, start: float | None
        ) -> Iterator[Comparison | LoraMclError]:
            try:
                yield from captioner.compare(media, options, start=start)
            except LoraMclError as error:
                # Of an exception only the class's name would come back, without its message.
                yield error

        def seconds_of_score(media: Media, caption: str, start: float | None) -> int:
            # One forward of a caption takes less than the reading of the prompt.
            return math.ceil(lease.start)

        @gpu(duration=seconds_of_score)
        def score_on_gpu(media: Media, caption: str, start: float | None) -> CaptionScore | LoraMclError:
            try:
                return captioner.score(media, caption, start=start)
            except LoraMclError as error:
                return error

        self._compare_on_gpu, self._score_on_gpu = compare_on_gpu, score_on_gpu

    def audio_view(self, media: Media, start: float | None = None) -> AudioView:
        """The audio captioner's input for a sound; needs no GPU."""
        return self._captioner.audio_view(media, start)

    def compare(
        self,
        media: Media,
        options: CompareOptions | None = None,
        *,
        start: float | None = None,
        should_stop: Callable[[], bool] = never_stop,
    ) -> Iterator[Comparison]:
        """Like ``Captioner.compare``; a file that cannot be used is refused before a GPU is requested.

        Raises:
            MediaError: at once, if the image or sound cannot be used.
            OptionsError: if ``start`` is not within the sound, or given for an image.
        """
        self._check(media, start)
        return self._compare(media, options or self.defaults, start, should_stop)

    def score(self, media: Media, caption: str, *, start: float | None = None) -> CaptionScore:
        """Like ``Captioner.score``; a file that cannot be used is refused before a GPU is requested.

        Raises:
            MediaError, OptionsError: as ``Captioner.score``.
        """
        self._check(media, start)
        score = self._score_on_gpu(media, caption, start)
        if isinstance(score, LoraMclError):
            raise score
        return score

    def _check(self, media: Media, start: float | None) -> None:
        if self._modality == AUDIO:
            self.audio_view(media, start)
        else:
            load_image(media)

    def _compare(
        self, media: Media, options: CompareOptions, start: float | None, should_stop: Callable[[], bool]
    ) -> Iterator[Comparison]:
        # ``should_stop`` cannot follow into the other process; closing these snapshots is what ends the work there.
        with closing(self._compare_on_gpu(media, options, start)) as snapshots:
            for snapshot in snapshots:
                if isinstance(snapshot, LoraMclError):
                    raise snapshot
                if should_stop() and not snapshot.done:
                    break
                yield snapshot
            else:
                return
        yield replace(snapshot, stopped=True)
