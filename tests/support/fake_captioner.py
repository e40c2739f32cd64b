"""A captioner without a model, to test the page by itself: fixed sentences, one word at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from transformers import WhisperFeatureExtractor

from lora_mcl.audio import load_window
from lora_mcl.bundle.bundle import AdapterRef, BaseRef, Bundle
from lora_mcl.bundle_captioner import BundleCaptioner
from lora_mcl.errors import OptionsError
from lora_mcl.images import input_name, read_image
from lora_mcl.scores import CaptionScore, SystemScore
from lora_mcl.types import (
    AudioView,
    Caption,
    ColumnResult,
    CompareOptions,
    Comparison,
    Media,
    Window,
    never_stop,
)

HYPOTHESES = (
    ("English, objects", "Counts and names what is there.", "two sheep and a red bicycle"),
    (
        "English, place and relations",
        "Describes places and relations.",
        "On a beach, two sheep stand to the left of a red bicycle.",
    ),
    (
        "French, place and relations",
        "Describes places and relations in French.",
        "Sur une plage, deux moutons se tiennent à gauche d'un vélo rouge.",
    ),
)
BEAM = ("two sheep and a bicycle", "two sheep and a red bicycle", "two sheep and one bicycle")
DIVERSE = (
    "two sheep and a bicycle",
    "a bicycle next to two sheep on a beach",
    "sur une plage, deux moutons et un vélo",
)
SAMPLES = ("a bicycle rests", "sheep, many of them", "two red sheep")

DEFAULTS = CompareOptions()


@dataclass
class FakeCaptioner(BundleCaptioner):
    """Answers with ``HYPOTHESES``, ``BEAM`` and ``DIVERSE``, for any picture.

    Attributes:
        seconds_per_token: how long each step takes.
        hypotheses: label, description and sentence of each hypothesis.
        steps: how many steps were computed since it was made; what proves that the work stopped.
        closed: how many comparisons have come to an end, by themselves or closed early.
        failure: raised in the middle of every comparison, where given.
    """

    seconds_per_token: float = 0.0
    hypotheses: tuple[tuple[str, str, str], ...] = HYPOTHESES
    name: str = "fake"
    defaults: CompareOptions = DEFAULTS
    steps: int = 0
    closed: int = 0
    failure: Exception | None = None

    @property
    def bundle(self) -> Bundle:
        hypotheses = tuple(AdapterRef("", label, description) for label, description, _ in self.hypotheses)
        baseline = AdapterRef("", "One adapter")
        return Bundle(Path(), self.name, BaseRef(id="fake"), "", hypotheses, baseline, generation=self.defaults)

    def compare(
        self,
        media: Media,
        options: CompareOptions | None = None,
        *,
        start: float | None = None,
        should_stop: Callable[[], bool] = never_stop,
    ) -> Iterator[Comparison]:
        options = options or self.defaults
        window, notices = self.read(media, start)
        known = {f"hypothesis-{k}": (sentence,) for k, (_, _, sentence) in enumerate(self.hypotheses)}
        first = options.seed % len(SAMPLES)
        known |= {
            "beam": BEAM[: options.num_beams],
            "diverse-beam": DIVERSE[: options.num_beams],
            "sampling": (SAMPLES[first:] + SAMPLES[:first])[: options.num_samples],
        }
        sentences = [known[spec.id] for spec in self.columns(options)]
        return self._compare(input_name(media), window, notices, options, sentences, should_stop)

    def score(self, media: Media, caption: str, *, start: float | None = None) -> CaptionScore:
        """Words as tokens; hypothesis ``k`` expects each word of its own sentence, and others less the larger ``k``."""
        window, notices = self.read(media, start)
        if not caption.strip():
            raise OptionsError("The caption is empty: type a few words.")
        words = caption.split()
        tokens = (words[0], *(f" {word}" for word in words[1:]), "")
        own = [set(sentence.split()) for _, _, sentence in self.hypotheses]
        systems = [
            SystemScore(
                f"hypothesis-{k}",
                label,
                (*(-0.25 if word in own[k] else -2.0 - k for word in words), -0.5),
            )
            for k, (label, _, _) in enumerate(self.hypotheses)
        ]
        baseline = SystemScore("baseline", self.bundle.baseline.label, (-1.0,) * len(tokens))
        name = input_name(media)
        return CaptionScore(name, self.name, caption, tokens, tuple(systems), baseline, window=window, notices=notices)

    def read(self, media: Media, start: float | None) -> tuple[Window | None, tuple[str, ...]]:
        """Refuse what is no picture; otherwise the notices of its reading."""
        return None, read_image(media)[1]

    def _compare(
        self,
        media: str,
        window: Window | None,
        notices: tuple[str, ...],
        options: CompareOptions,
        sentences: list[tuple[str, ...]],
        should_stop: Callable[[], bool],
    ) -> Iterator[Comparison]:
        started = time.perf_counter()
        columns = tuple(ColumnResult(c.id, c.method, c.label, 0.0) for c in self.columns(options))
        comparison = Comparison(media, self.name, 0.0, columns, window, notices)
        longest = max(len(text.split()) for texts in sentences for text in texts)
        try:
            yield comparison
            for step in range(1, min(longest, options.max_new_tokens) + 1):
                if should_stop():
                    yield replace(comparison, stopped=True)
                    return
                if self.failure is not None and step == 3:
                    raise self.failure
                time.sleep(self.seconds_per_token)
                self.steps += 1
                now = time.perf_counter() - started
                columns = tuple(
                    replace(column, seconds=now, captions=tuple(_first_words(text, step) for text in texts))
                    for column, texts in zip(comparison.columns, sentences, strict=True)
                )
                comparison = replace(comparison, seconds=now, columns=columns)
                yield comparison
            yield replace(comparison, columns=tuple(replace(c, done=True) for c in comparison.columns), done=True)
        finally:
            self.closed += 1


SAMPLING_RATE, MAX_SECONDS = 16_000, 2


@dataclass
class FakeAudioCaptioner(FakeCaptioner):
    """The same for sounds, of which it takes 2 s.

    Attributes:
        samples: the samples of the last comparison.
    """

    samples: np.ndarray | None = None

    def read(self, media: Media, start: float | None) -> tuple[Window | None, tuple[str, ...]]:
        self.samples, window = load_window(media, start, sampling_rate=SAMPLING_RATE, max_seconds=MAX_SECONDS)
        return window, window.notices

    def audio_view(self, media: Media, start: float | None = None) -> AudioView:
        samples, window = load_window(media, start, sampling_rate=SAMPLING_RATE, max_seconds=MAX_SECONDS)
        features = WhisperFeatureExtractor(feature_size=40, chunk_length=MAX_SECONDS)(
            samples, sampling_rate=SAMPLING_RATE, return_tensors="np"
        )
        return AudioView(window, features["input_features"][0][:, : len(samples) // 160])


def _first_words(text: str, count: int) -> Caption:
    words = text.split()[:count]
    return Caption(" ".join(words), -0.7 * len(words), -0.7, len(words))
