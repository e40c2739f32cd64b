"""A captioner that answers a repeated comparison from memory: the same content, start and settings."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path

from lora_mcl.bundle_captioner import BundleCaptioner
from lora_mcl.images import input_name
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
from ui.votes import content_hash

REMEMBERED = 256
"""Comparisons in memory: their captions and figures, some kilobytes each, and no picture or sound."""

_Key = tuple[str, CompareOptions, float | None]


@dataclass(frozen=True)
class Repeated(Comparison):
    """A comparison from memory; its columns' seconds are those of the first time."""


class RepeatedCaptioner(BundleCaptioner):
    """Another captioner's answers, those of repeated comparisons from memory.

    Sampled captions are among them: they are drawn with the seed of the options. Comparisons with notices are not. Of
    more than ``size`` finished comparisons, those are forgotten that were not asked for longest; of size 0, all. Safe
    to share between threads.
    """

    def __init__(self, captioner: CaptionSource | AudioCaptionSource, size: int = REMEMBERED) -> None:
        self.bundle = captioner.bundle
        self._captioner = captioner
        self._size = size
        self._finished: OrderedDict[_Key, Comparison] = OrderedDict()
        self._lock = threading.Lock()

    def audio_view(self, media: Media, start: float | None = None) -> AudioView:
        """The audio captioner's input for a sound."""
        return self._captioner.audio_view(media, start)

    def score(self, media: Media, caption: str, *, start: float | None = None) -> CaptionScore:
        """Like ``Captioner.score``.

        Raises:
            MediaError, OptionsError: as ``Captioner.score``.
        """
        return self._captioner.score(media, caption, start=start)

    def compare(
        self,
        media: Media,
        options: CompareOptions | None = None,
        *,
        start: float | None = None,
        should_stop: Callable[[], bool] = never_stop,
    ) -> Iterator[Comparison]:
        """Like ``Captioner.compare``; of a file that is in memory, one ``Repeated`` snapshot.

        Raises:
            MediaError, OptionsError: as ``Captioner.compare``.
        """
        began, options = time.perf_counter(), options or self.defaults
        key = _key(media, options, start)
        with self._lock:
            found = self._finished.get(key)
            if found is not None:
                self._finished.move_to_end(key)
        if found is not None:
            return _again(found, input_name(media), time.perf_counter() - began)
        snapshots = self._captioner.compare(media, options, start=start, should_stop=should_stop)
        return snapshots if key is None else self._remembered(key, snapshots)

    def _remembered(self, key: _Key, snapshots: Iterator[Comparison]) -> Iterator[Comparison]:
        with closing(snapshots):
            for comparison in snapshots:
                # A notice names the file, which the next visitor may have under another name.
                if comparison.done and not comparison.notices:
                    with self._lock:
                        self._finished[key] = comparison
                        self._finished.move_to_end(key)
                        while len(self._finished) > self._size:
                            self._finished.popitem(last=False)
                yield comparison


def _again(found: Comparison, media: str, seconds: float) -> Iterator[Comparison]:
    # A generator, because whoever takes snapshots may close them.
    known = {field.name: getattr(found, field.name) for field in fields(Comparison)}
    yield Repeated(**known | {"media": media, "seconds": seconds})


def _key(media: Media, options: CompareOptions, start: float | None) -> _Key | None:
    """Of a file that can be read; None for what is not remembered."""
    if not isinstance(media, str | Path):
        return None
    try:
        return content_hash(Path(media)), options, start
    except OSError:
        return None
