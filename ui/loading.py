"""A captioner whose model is loaded while the page is served already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace

from lora_mcl.bundle import Bundle
from lora_mcl.bundle_captioner import BundleCaptioner
from lora_mcl.images import input_name
from lora_mcl.scores import CaptionScore
from lora_mcl.types import (
    AudioCaptionSource,
    AudioView,
    CaptionSource,
    ColumnResult,
    CompareOptions,
    Comparison,
    Media,
    never_stop,
)

# Between two looks at whether a waiting comparison was stopped, in seconds.
_LOOK = 0.1


@dataclass(frozen=True)
class Waiting(Comparison):
    """A comparison that begins when the model is loaded."""


class LoadingCaptioner(BundleCaptioner):
    """A captioner that can be used before its model is loaded: name, defaults and columns come from the bundle.

    Comparisons and audio views that come before the model wait for it.
    """

    def __init__(self, bundle: Bundle, load: Callable[[], CaptionSource | AudioCaptionSource]) -> None:
        """``load`` loads the model; ``self.load`` calls it."""
        self.bundle = bundle
        self._load = load
        self._captioner: Future[CaptionSource | AudioCaptionSource] = Future()

    def load(self) -> None:
        """Load the model, once, in the calling thread.

        Raises:
            BundleError: it cannot be loaded; what waits for it gets the same error.
        """
        try:
            self._captioner.set_result(self._load())
        except BaseException as error:
            self._captioner.set_exception(error)
            raise

    def audio_view(self, media: Media, start: float | None = None) -> AudioView:
        """The audio captioner's input for a sound, once there is one."""
        return self._captioner.result().audio_view(media, start)

    def score(self, media: Media, caption: str, *, start: float | None = None) -> CaptionScore:
        """Like ``Captioner.score``, once the model is loaded.

        Raises:
            BundleError: the model cannot be loaded.
            MediaError, OptionsError: as ``Captioner.score``.
        """
        return self._captioner.result().score(media, caption, start=start)

    def compare(
        self,
        media: Media,
        options: CompareOptions | None = None,
        *,
        start: float | None = None,
        should_stop: Callable[[], bool] = never_stop,
    ) -> Iterator[Comparison]:
        """Like ``Captioner.compare``, after a ``Waiting`` snapshot where the model is still being loaded.

        Raises:
            BundleError: the model cannot be loaded.
            MediaError, OptionsError: as ``Captioner.compare``, but in a comparison that waits only after that.
        """
        if self._captioner.done():
            return self._captioner.result().compare(media, options, start=start, should_stop=should_stop)
        return self._compare_later(media, options, start, should_stop)

    def _compare_later(
        self, media: Media, options: CompareOptions | None, start: float | None, should_stop: Callable[[], bool]
    ) -> Iterator[Comparison]:
        columns = tuple(ColumnResult(c.id, c.method, c.label, 0.0) for c in self.columns(options))
        waiting = Waiting(media=input_name(media), model=self.name, seconds=0.0, columns=columns)
        yield waiting
        while not self._captioner.done():
            if should_stop():
                yield replace(waiting, stopped=True)
                return
            wait([self._captioner], timeout=_LOOK)
        yield from self._captioner.result().compare(media, options, start=start, should_stop=should_stop)
