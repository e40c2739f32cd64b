"""Comparisons of many browser sessions, without Gradio: start, stop, and the page's view of each."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from uuid import uuid4

from lora_mcl.columns import same_captions
from lora_mcl.doubt import Doubt
from lora_mcl.phrasebook import Translator
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
from ui.models import with_model
from ui.pacing import PAGE, Pace, Rate
from ui.repeated import Repeated
from ui.texts.texts import ENGLISH, Texts

# The same words at every token, so that a screen reader announces them once.
WRITING = "Writing captions …"
LOADING = "The models are loading …"
STOPPED = "Stopped."
REPEATED = "Shown at once: these captions were written before."
DONE = "Done in {seconds:.1f} s."
# Copies whose notices are kept.
_NOTICED = 1_000


@dataclass(frozen=True)
class Finished:
    """A complete comparison, with what it was made from.

    Attributes:
        specs: its columns, in their order.
        redone: id and options of the columns that ``options`` does not describe: they were written anew with others.
    """

    media: Path
    options: CompareOptions
    comparison: Comparison
    specs: tuple[ColumnSpec, ...]
    redone: tuple[tuple[str, CompareOptions], ...] = ()

    def options_of(self, id: str) -> CompareOptions:
        """The options with which that column was written."""
        return dict(self.redone).get(id, self.options)

    def with_column(self, id: str, comparison: Comparison, options: CompareOptions) -> Finished:
        """The same after that column was written with ``options``; ``comparison`` holds all columns."""
        options = replace(options, columns=self.options.columns)
        others = {spec.id: spec.method for spec in self.specs if spec.id != id}
        if all(same_captions(method, self.options_of(other), options) for other, method in others.items()):
            return replace(self, comparison=comparison, options=options, redone=())
        redone = dict(self.redone) | {id: options}
        return replace(self, comparison=comparison, redone=tuple(redone.items()))


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
class _Request:
    """A comparison that was asked for and has not begun; a ``claimed`` one is about to."""

    token: str
    claimed: bool = False


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
    in the queue, the browser's message is on its way, or its file is being read) does not begin then.
    """

    def __init__(
        self,
        captioner: CaptionSource | AudioCaptionSource,
        modality: ModalityText,
        max_comparisons: int = 1,
        doubts: Mapping[str, Doubt] | None = None,
        phrasebooks: Mapping[str, Translator] | None = None,
    ) -> None:
        """
        Args:
            doubts: when a caption is to be doubted, by the model's name, where that was measured.
            phrasebooks: what translates its captions, by the model's name, where there is one.
        """
        self.captioner = captioner
        self._doubts, self._phrasebooks = doubts or {}, phrasebooks or {}
        self.modality = modality
        self.max_comparisons = max_comparisons
        self._runs: dict[str, list[_Run]] = {}
        # The latest request of each session, until its comparison begins or it is ended.
        self._requested: dict[str, _Request] = {}
        # Its token, also after that.
        self._latest: dict[str, str] = {}
        # The model that each session chose among several.
        self._models: dict[str, str] = {}
        # What was noticed about the files that the latest copies for browsers were made from.
        self._noticed: OrderedDict[Path, tuple[str, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def idle(self, session: str = "", texts: Texts = ENGLISH) -> View:
        """The session's page before a comparison."""
        model = self._models.get(session)
        options = with_model(self.captioner.named(model).defaults, model) if model else None
        return View(idle_columns(self.captioner.columns(options), texts))

    def choose_model(self, session: str, model: str) -> None:
        """Show the columns of that one of several models until another is chosen.

        Raises:
            OptionsError: there is none of that name.
        """
        self.captioner.named(model)
        self._models[session] = model

    def forget(self, session: str) -> None:
        """Stop the session's comparisons and forget it: the visitor has left."""
        self.abandon(session)
        self._models.pop(session, None)
        with self._lock:
            self._latest.pop(session, None)

    def audio_view(self, media: Path, start: float | None = None) -> AudioView:
        """The audio captioner's input for a sound from second ``start``, by default from the first sound.

        Raises:
            LoraMclError: the sound or ``start`` cannot be used.
        """
        view = self.captioner.audio_view(media, start)
        notices = (*self._noticed.get(media, ()), *view.window.notices)
        return replace(view, window=replace(view.window, notices=notices))

    def note_copy(self, copy: Path, notices: tuple[str, ...]) -> None:
        """Add notices to every comparison of a copy: the copy no longer has what they are about."""
        with self._lock:
            self._noticed |= {copy: notices} if notices else {}
            while len(self._noticed) > _NOTICED:
                self._noticed.popitem(last=False)

    def request(self, session: str) -> str:
        """Register a comparison that the session is about to start; returns the token to ``claim`` it with.

        Earlier requests of the session that were not claimed are void: also those that never arrive, because a full
        queue refused them. Of comparisons that the visitor has stopped nothing more is shown.
        """
        token = uuid4().hex
        with self._lock:
            for run in self._runs.get(session, ()):
                run.abandoned |= run.stop.is_set()
            self._requested[session] = _Request(token)
            self._latest[session] = token
        return token

    def claim(self, session: str, token: str) -> bool:
        """Whether the request may begin: it is the session's latest, was not ended, and was not claimed before.

        Until its comparison begins, which is given the token, the request can still be ended; ``withdraw`` it where
        none begins.
        """
        with self._lock:
            request = self._requested.get(session)
            if request is None or request.token != token or request.claimed:
                return False
            request.claimed = True
            return True

    def withdraw(self, session: str, token: str) -> None:
        """Forget that request if its comparison has not begun."""
        with self._lock:
            self._take(session, token)

    def is_latest(self, session: str, token: str) -> bool:
        """Whether the session has requested no other comparison after that one."""
        with self._lock:
            return self._latest.get(session) == token

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
        into: Finished | None = None,
        rate: Rate = PAGE,
        token: str | None = None,
    ) -> Iterator[Comparison]:
        """The captioner's snapshots, until one is ``done`` or ``stopped``; ``start`` is in seconds of a sound.

        Of snapshots that come faster than they can be read, some are left out (``pacing.Pace``); never the last one.

        Args:
            stop_earlier: whether the session's earlier comparisons stop.
            into: a complete comparison whose other columns each snapshot keeps.
            rate: how many snapshots a second.
            token: of the claimed request that this is; without snapshots if it was ended meanwhile.

        Raises:
            LoraMclError: the input or an option cannot be used.
        """
        specs = _specs_into(into, self.captioner.columns(options))
        run, pace = _Run(specs, latest=into.comparison if into else None), Pace(rate)
        with self._lock:
            if token is not None and not self._take(session, token):
                return
            earlier = list(self._runs.setdefault(session, []))
            self._runs[session].append(run)
        if stop_earlier:
            for other in earlier:
                other.stop.set()
        try:
            with closing(self.captioner.compare(media, options, start=start, should_stop=run.stop.is_set)) as snapshots:
                noticed = self._noticed.get(media, ())
                for snapshot in snapshots:
                    run.latest = _snapshot_into(into, replace(snapshot, notices=(*noticed, *snapshot.notices)))
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

    def views(
        self,
        media: Path,
        options: CompareOptions,
        session: str,
        start: float | None = None,
        texts: Texts = ENGLISH,
        token: str | None = None,
    ) -> Iterator[View]:
        """Views of the page while ``comparisons`` runs; the last one is not ``running``."""
        specs = self.captioner.columns(options)
        with closing(self.comparisons(media, options, session, start, token=token)) as comparisons:
            for comparison in comparisons:
                view = self._view(specs, comparison, texts)
                yield replace(view, finished=Finished(media, options, comparison, specs)) if comparison.done else view

    def column_views(
        self,
        finished: Finished,
        id: str,
        options: CompareOptions,
        session: str,
        texts: Texts = ENGLISH,
        token: str | None = None,
    ) -> Iterator[View]:
        """Like ``views``, while one column of a complete comparison is written anew and the others stay."""
        window = finished.comparison.window
        alone, start = replace(options, columns=(id,)), None if window is None else window.start
        specs = _specs_into(finished, self.captioner.columns(alone))
        finished = replace(finished, specs=specs)
        comparisons = self.comparisons(finished.media, alone, session, start, into=finished, token=token)
        with closing(comparisons):
            for comparison in comparisons:
                view = self._view(specs, comparison, texts)
                made = finished.with_column(id, comparison, options) if comparison.done else None
                yield replace(view, finished=made)

    def stop(self, session: str, texts: Texts = ENGLISH) -> View | None:
        """Stop the session's comparisons; returns what the last had written, ``None`` if nothing was running."""
        runs = self._end(session)
        if not runs:
            return None
        run = runs[-1]
        if run.latest is None:
            return replace(self.idle(session, texts), status=texts(STOPPED))
        return self._view(run.specs, replace(run.latest, stopped=True), texts)

    def abandon(self, session: str) -> None:
        """Stop the session's comparisons, and show no more of them."""
        for run in self._end(session):
            run.abandoned = True

    def _take(self, session: str, token: str) -> bool:
        """Whether that is the session's request; it is forgotten then. Under the lock."""
        request = self._requested.get(session)
        if request is None or request.token != token:
            return False
        del self._requested[session]
        return True

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

    def _view(self, specs: tuple[ColumnSpec, ...], comparison: Comparison, texts: Texts) -> View:
        doubt, phrasebook = self._doubts.get(comparison.model), self._phrasebooks.get(comparison.model)
        columns = comparison_columns(specs, comparison, self.modality.waiting, doubt, texts, phrasebook)
        seconds = comparison.seconds
        if comparison.done:
            sentences = [comparison.window.notice if comparison.window else "", *comparison.notices]
            part = "".join(f" {escape(texts(notice))}" for notice in sentences if notice)
            repeated = isinstance(comparison, Repeated)
            done = texts(REPEATED) if repeated else texts(DONE, seconds=seconds)
            return View(columns, diversity_html(comparison, texts), done + part)
        if comparison.stopped:
            written = any(column.captions for column in comparison.columns)
            kept = " " + texts("What had been written stays.") if written else ""
            return View(columns, status=texts("Stopped after {seconds:.1f} s.", seconds=seconds) + kept)
        return View(columns, status=texts(LOADING if isinstance(comparison, Waiting) else WRITING), running=True)


def _specs_into(before: Finished | None, specs: tuple[ColumnSpec, ...]) -> tuple[ColumnSpec, ...]:
    """The columns of ``before``, with those of ``specs`` in their places."""
    own = {spec.id: spec for spec in specs}
    return specs if before is None else tuple(own.get(spec.id, spec) for spec in before.specs)


def _snapshot_into(before: Finished | None, snapshot: Comparison) -> Comparison:
    """The snapshot, among the columns of ``before``."""
    if before is None:
        return snapshot
    own = {column.id: column for column in snapshot.columns}
    return replace(snapshot, columns=tuple(own.get(column.id, column) for column in before.comparison.columns))
