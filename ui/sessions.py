"""Comparisons of many browser sessions, without Gradio: start, stop, and the page's view of each."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from uuid import uuid4

from lora_mcl.doubt import Doubt
from lora_mcl.types import (
    AudioCaptionSource,
    AudioView,
    CaptionSource,
    ColumnSpec,
    CompareOptions,
    Comparison,
)
from ui.columns import comparison_columns, idle_columns
from ui.diversity import IDLE as NO_DIVERSITY
from ui.diversity import diversity_html
from ui.loading import Waiting
from ui.modality import ModalityText
from ui.pacing import PAGE, Pace, Rate

# The same words at every token, so that a screen reader announces them once.
WRITING = "Writing captions …"
LOADING = "The models are loading …"


@dataclass(frozen=True)
class Finished:
    """A complete comparison, with what it was made from."""

    media: Path
    options: CompareOptions
    comparison: Comparison


@dataclass(frozen=True)
class View:
    """What the page shows at one moment, as HTML; ``columns`` is by column id, without the hidden ones.

    ``finished`` is the comparison that is shown, if it is complete.
    """

    columns: dict[str, str]
    diversity: str = NO_DIVERSITY
    status: str = ""
    running: bool = False
    finished: Finished | None = None


@dataclass
class _Run:
    """A comparison in progress and its last snapshot; of an ``abandoned`` one nothing more is shown."""

    specs: tuple[ColumnSpec, ...]
    stop: threading.Event = field(default_factory=threading.Event)
    latest: Comparison | None = None
    abandoned: bool = False


class Sessions:
    """Comparisons for many browser sessions, one at a time in each; API clients may have several.

    A session's running comparison stops, within one token, when ``stop`` or ``abandon`` is called for it, when its
    iterator is closed, or when the session starts another one. A requested comparison that has not begun (it waits
    in the queue, or the browser's message is on its way) does not begin then.
    """

    def __init__(
        self,
        captioner: CaptionSource | AudioCaptionSource,
        modality: ModalityText,
        max_comparisons: int = 1,
        doubt: Doubt | None = None,
    ) -> None:
        self.captioner = captioner
        self._doubt = doubt
        self.modality = modality
        self.max_comparisons = max_comparisons
        self._runs: dict[str, list[_Run]] = {}
        # Token of the latest request of each session, until the request is claimed or ended.
        self._requested: dict[str, str] = {}
        self._lock = threading.Lock()

    def idle(self) -> View:
        """The page before a comparison."""
        return View(idle_columns(self.captioner.columns()))

    def audio_view(self, media: Path, start: float | None = None) -> AudioView:
        """The audio captioner's input for a sound from second ``start``, by default from the first sound.

        Raises:
            LoraMclError: the sound or ``start`` cannot be used.
        """
        return self.captioner.audio_view(media, start)

    def request(self, session: str) -> str:
        """Register a comparison that the session is about to start; returns the token to ``claim`` it with.

        Earlier requests of the session that were not claimed are void: also those that never arrive, because a full
        queue refused them.
        """
        token = uuid4().hex
        with self._lock:
            self._requested[session] = token
        return token

    def claim(self, session: str, token: str) -> bool:
        """Whether the request may begin: it is the session's latest, was not ended, and was not claimed before."""
        with self._lock:
            if self._requested.get(session) != token:
                return False
            del self._requested[session]
            return True

    def is_quiet(self, session: str) -> bool:
        """Whether the session neither has a comparison nor is about to start one."""
        with self._lock:
            return session not in self._runs and session not in self._requested

    def comparisons(
        self,
        media: Path,
        options: CompareOptions,
        session: str,
        start: float | None = None,
        *,
        stop_earlier: bool = True,
        rate: Rate = PAGE,
    ) -> Iterator[Comparison]:
        """The captioner's snapshots, until one is ``done`` or ``stopped``; ``start`` is in seconds of a sound.

        Of snapshots that come faster than they can be read, some are left out (``pacing.Pace``); never the last one.

        Args:
            stop_earlier: whether the session's earlier comparisons stop.
            rate: how many snapshots a second.

        Raises:
            LoraMclError: the input or an option cannot be used.
        """
        run, pace = _Run(self.captioner.columns(options)), Pace(rate)
        with self._lock:
            earlier = list(self._runs.setdefault(session, []))
            self._runs[session].append(run)
        if stop_earlier:
            for other in earlier:
                other.stop.set()
        try:
            with closing(self.captioner.compare(media, options, start=start, should_stop=run.stop.is_set)) as snapshots:
                for run.latest in snapshots:
                    if run.abandoned:
                        return
                    # A token that was on its way when the visitor stopped must not show the page as writing again.
                    ended = run.latest.done or run.latest.stopped
                    if (ended or not run.stop.is_set()) and pace.is_due(run.latest, self._num_running()):
                        yield run.latest
        finally:
            # Also after a normal end: nothing that still holds this flag may go on.
            run.stop.set()
            with self._lock:
                self._runs[session].remove(run)
                if not self._runs[session]:
                    del self._runs[session]

    def views(self, media: Path, options: CompareOptions, session: str, start: float | None = None) -> Iterator[View]:
        """Views of the page while ``comparisons`` runs; the last one is not ``running``."""
        specs = self.captioner.columns(options)
        with closing(self.comparisons(media, options, session, start)) as comparisons:
            for comparison in comparisons:
                view = self._view(specs, comparison)
                yield replace(view, finished=Finished(media, options, comparison)) if comparison.done else view

    def stop(self, session: str) -> View | None:
        """Stop the session's comparisons; returns what the last had written, ``None`` if nothing was running."""
        runs = self._end(session)
        if not runs:
            return None
        run = runs[-1]
        return self._view(run.specs, replace(run.latest, stopped=True)) if run.latest else self.idle()

    def abandon(self, session: str) -> None:
        """Stop the session's comparisons, and show no more of them."""
        for run in self._end(session):
            run.abandoned = True

    def _num_running(self) -> int:
        with self._lock:
            return sum(map(len, self._runs.values()))

    def _end(self, session: str) -> list[_Run]:
        with self._lock:
            runs = list(self._runs.get(session, ()))
            self._requested.pop(session, None)
        for run in runs:
            run.stop.set()
        return runs

    def _view(self, specs: tuple[ColumnSpec, ...], comparison: Comparison) -> View:
        columns = comparison_columns(specs, comparison, self.modality.waiting, self._doubt)
        if comparison.done:
            sentences = [comparison.window.notice if comparison.window else "", *comparison.notices]
            part = "".join(f" {escape(notice)}" for notice in sentences if notice)
            status = f"Done in {comparison.seconds:.1f} s.{part}".strip()
            return View(columns, diversity_html(comparison), status)
        if comparison.stopped:
            written = any(column.captions for column in comparison.columns)
            kept = " What had been written stays." if written else ""
            return View(columns, status=f"Stopped after {comparison.seconds:.1f} s.{kept}")
        return View(columns, status=LOADING if isinstance(comparison, Waiting) else WRITING, running=True)
