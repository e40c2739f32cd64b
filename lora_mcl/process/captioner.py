"""A captioner whose model is in a process of its own.

In one process, a single thread runs Python at a time: models that compute in threads next to a web server wait for it
and for each other at every operation. A process for each model ends that, and its memory is freed with it.

    this program                                   the process (``python -m lora_mcl.process``)
    (number, "compare", arguments)        ->       a thread for each call
                                          <-       (number, "item", None) once the medium is read, then snapshots
    (number, "stop", ())                  ->       its should_stop is true from then on
                                          <-       (number, "end", None), or (number, "error", LoraMclError)
"""

from __future__ import annotations

import itertools
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import lora_mcl
from lora_mcl.bundle import Bundle
from lora_mcl.bundle_captioner import BundleCaptioner
from lora_mcl.errors import LoraMclError, MediaError
from lora_mcl.scores import CaptionScore
from lora_mcl.types import AudioView, CompareOptions, Comparison, Media, never_stop

# How often a caller's should_stop is looked at while the process computes, in seconds.
_LOOK = 0.05


class ProcessError(LoraMclError):
    """The process of a model has ended by itself, or something unexpected happened in it."""


class ProcessCaptioner(BundleCaptioner):
    """A ``CaptionSource`` whose model computes in a process of its own, which ends with this program.

    May be shared between threads: their requests share the steps of the model, as those of ``Captioner`` do. Where the
    process ends by itself (the system has no more memory), running requests raise ProcessError, and the next request
    starts it anew. Not on Windows, where a process cannot be given a pipe in this way.
    """

    def __init__(self, bundle: Bundle, *, models: int = 1, **options: Any) -> None:
        """Start the process and wait until the model is loaded.

        Args:
            models: how many such processes compute at the same time: each takes its part of the cores.
            options: as of ``Captioner.load``; ``dtype`` by its name, such as "bfloat16".

        Raises:
            BundleError, OptionsError: as ``Captioner.load``.
            ProcessError: the process ended before the model was loaded.
        """
        self.bundle = bundle
        self._setup = (bundle, options, models)
        self._starting = threading.Lock()
        self._process = _Process(self._setup)

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def close(self) -> None:
        """End the process; what runs in it raises ProcessError."""
        self._process.end()

    def audio_view(self, media: Media, start: float | None = None) -> AudioView:
        """The audio captioner's input for a sound; as ``Captioner.audio_view``."""
        return self._answer("audio_view", media, start)

    def score(self, media: Media, caption: str, *, start: float | None = None) -> CaptionScore:
        """Log-probabilities of a given caption; as ``Captioner.score``."""
        return self._answer("score", media, caption, start)

    def compare(
        self,
        media: Media,
        options: CompareOptions | None = None,
        *,
        start: float | None = None,
        should_stop: Callable[[], bool] = never_stop,
    ) -> Iterator[Comparison]:
        """Like ``Captioner.compare``; ``should_stop`` is asked in the caller's thread, 20 times a second.

        Raises:
            MediaError, OptionsError: at once, as ``Captioner.compare``.
            ProcessError: the process ended, now or, from the iterator, in the middle.
        """
        snapshots = self._items("compare", media, options, start, should_stop=should_stop)
        next(snapshots)  # the medium is read
        return snapshots

    def _answer(self, method: str, *arguments: Any) -> Any:
        (answer,) = self._items(method, *arguments)
        return answer

    def _items(
        self, method: str, media: Media, *arguments: Any, should_stop: Callable[[], bool] = never_stop
    ) -> Iterator[Any]:
        """What the process answers to a call, as it comes."""
        process = self._running()
        number, answers = process.call(method, media, arguments)
        asked_to_stop = ended = False
        try:
            while True:
                if not asked_to_stop and should_stop():
                    process.stop(number)
                    asked_to_stop = True
                try:
                    kind, value = answers.get(timeout=None if should_stop is never_stop or asked_to_stop else _LOOK)
                except queue.Empty:
                    continue
                ended = kind != "item"
                if kind == "error":
                    raise value
                if ended:
                    return
                yield value
        finally:
            process.forget(number, stop=not ended)

    def _running(self) -> _Process:
        """The process, started anew if it has ended by itself."""
        with self._starting:
            if self._process.has_ended and not self._process.was_closed:
                self._process = _Process(self._setup)
            return self._process


class _Process:
    """A running process: who waits for which answer."""

    def __init__(self, setup: tuple[Bundle, dict[str, Any], int]) -> None:
        self._name = setup[0].name
        self._connection, theirs = Pipe()
        # Wherever this program was started, the process imports the same package.
        root = str(Path(lora_mcl.__file__).parents[1])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        with theirs:
            self._popen = subprocess.Popen(
                [sys.executable, "-P", "-m", "lora_mcl.process", str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self.pid = self._popen.pid
        self.has_ended = self.was_closed = False
        self._numbers = itertools.count()
        self._answers: dict[int, queue.SimpleQueue[tuple[str, Any]]] = {}
        # Of the two above, and of sending.
        self._lock = threading.Lock()
        try:
            self._connection.send(setup)
            outcome = self._connection.recv()
        except (EOFError, OSError):
            outcome = ProcessError(
                f"The process that was to hold {self._name} ended while the model was loaded (exit code "
                f"{self._popen.wait()}): there may not be enough memory."
            )
        except BaseException:
            self.end()
            raise
        if isinstance(outcome, LoraMclError):
            self.end()
            raise outcome
        threading.Thread(target=self._receive, name=f"answers of {self._name}", daemon=True).start()

    def call(self, method: str, media: Media, arguments: tuple[Any, ...]) -> tuple[int, queue.SimpleQueue]:
        """Send a call; its number, and where its answers arrive.

        Raises:
            MediaError: what ``media`` is cannot be sent to a process.
            ProcessError: the process has ended.
        """
        answers: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        with self._lock:
            number = next(self._numbers)
            if self.has_ended:
                raise self._over()
            self._answers[number] = answers
            try:
                self._connection.send((number, method, (media, *arguments)))
            except OSError:
                pass  # it is ending: the error arrives with the answers
            except Exception as error:
                del self._answers[number]
                raise MediaError(
                    f"An object of type {type(media).__name__} cannot be sent to the model: give a file's path, a "
                    "picture or a sound."
                ) from error
        return number, answers

    def stop(self, number: int) -> None:
        """Let a call's ``should_stop`` be true."""
        with self._lock, suppress(OSError):  # it has ended
            self._connection.send((number, "stop", ()))

    def forget(self, number: int, stop: bool) -> None:
        """Nobody waits for a call's answers any more; ``stop`` if it is not over."""
        self._answers.pop(number, None)
        if stop and not self.has_ended:
            self.stop(number)

    def end(self) -> None:
        """End the process."""
        self.was_closed = True
        self._popen.terminate()
        self._popen.wait()

    def _receive(self) -> None:
        try:
            while True:
                number, kind, value = self._connection.recv()
                # None: it was left. The dictionary's own methods are safe between threads.
                if answers := self._answers.get(number):
                    answers.put((kind, value))
        except (EOFError, OSError):
            self._popen.wait()
            with self._lock:
                self.has_ended = True
                waiting = list(self._answers.values())
                self._connection.close()
            for answers in waiting:
                answers.put(("error", self._over()))

    def _over(self) -> ProcessError:
        return ProcessError(
            f"The process that held {self._name} has ended: there may not have been enough memory. Please try again: "
            "it is started anew."
        )
