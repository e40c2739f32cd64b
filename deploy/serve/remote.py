"""The captioner of the page: its comparisons are computed by replicas of Ray Serve."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ray.exceptions import RayError, RayTaskError, TaskCancelledError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from deploy.serve.media import to_send
from lora_mcl.bundle import Bundle
from lora_mcl.bundle_captioner import BundleCaptioner
from lora_mcl.errors import LoraMclError
from lora_mcl.types import AudioView, CompareOptions, Comparison, Media, never_stop

# A question that needs no decoding is answered in less, or not at all; in seconds.
_PATIENCE = 60.0
# How often a visitor's Stop is looked for while a replica computes; in seconds.
_LOOK = 0.05


class ReplicaError(LoraMclError):
    """The machine that computes a comparison is gone, or none is there."""


class RemoteCaptioner(BundleCaptioner):
    """A ``CaptionSource`` whose requests go to the replica with the fewest of them."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle
        self._stream = handle.options(stream=True)

    @property
    def bundle(self) -> Bundle:
        """The bundle that the replicas hold."""
        return self._call("bundle")

    def audio_view(self, media: Media, start: float | None = None) -> AudioView:
        """The audio captioner's input for a sound; as ``Captioner.audio_view``."""
        return self._call("call", "audio_view", to_send(media), start)

    def score(self, media: Media, caption: str, *, start: float | None = None) -> Any:
        """Log-probabilities of a given caption; as ``Captioner.score``."""
        return self._call("call", "score", to_send(media), caption, start=start)

    def compare(
        self,
        media: Media,
        options: CompareOptions | None = None,
        *,
        start: float | None = None,
        should_stop: Callable[[], bool] = never_stop,
    ) -> Iterator[Comparison]:
        """Like ``Captioner.compare``.

        Raises:
            MediaError, OptionsError: at once, if the medium or ``start`` cannot be used.
            ReplicaError: there is no replica; from the iterator, if it goes away in the middle.
        """
        snapshots = self._compare(media, options, start, should_stop)
        # What cannot be used is found before the first snapshot.
        first = next(snapshots)
        return _with_first(first, snapshots)

    def _compare(
        self, media: Media, options: CompareOptions | None, start: float | None, should_stop: Callable[[], bool]
    ) -> Iterator[Comparison]:
        comparison: Comparison | None = None
        with _typed_errors():
            response = self._stream.compare.remote(to_send(media), options, start)
        try:
            with _cancelled_by(should_stop, response), _typed_errors():
                for item in response:
                    if isinstance(item, LoraMclError):
                        raise item
                    comparison = item
                    yield comparison
        except (TaskCancelledError, RayTaskError):
            # The first is what becomes of a cancelled request; of one that was cancelled in the middle of a step, both.
            if comparison is None or comparison.done or not should_stop():
                raise
            yield replace(comparison, stopped=True)
        finally:
            response.cancel()

    def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        with _typed_errors():
            answer = getattr(self._handle, method).remote(*args, **kwargs).result(timeout_s=_PATIENCE)
        if isinstance(answer, LoraMclError):
            raise answer
        return answer


def _with_first(first: Comparison, others: Iterator[Comparison]) -> Iterator[Comparison]:
    try:
        yield first
        yield from others
    finally:
        others.close()


@contextmanager
def _typed_errors() -> Iterator[None]:
    """Raise ReplicaError where a replica or all of them are gone. What a replica's code raised stays as it is."""
    try:
        yield
    except (RayTaskError, TaskCancelledError):
        raise
    except (RayError, RayServeException, TimeoutError) as error:
        raise ReplicaError(
            "The machine that was captioning this has stopped answering. Please try again: another one takes over."
        ) from error


@contextmanager
def _cancelled_by(should_stop: Callable[[], bool], response: DeploymentResponseGenerator) -> Iterator[None]:
    """Cancel the response as soon as ``should_stop`` is true, also between two snapshots."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK):
            if should_stop():
                response.cancel()
                return

    if should_stop is never_stop:
        yield
        return
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
