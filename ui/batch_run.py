"""One run of the batch tab: progress, and the files to download."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from lora_mcl.batch import BatchCaptioner, BatchFile, caption_batch
from lora_mcl.modality import Modality
from lora_mcl.phrases import Phrase
from lora_mcl.report import CaptionedFile, opened_report
from lora_mcl.report.tables import write_csv, write_json
from lora_mcl.types import never_stop
from ui.texts.texts import ENGLISH, Texts


@dataclass(frozen=True)
class Progress:
    """A batch at one moment.

    Attributes:
        entries: the finished files by their place, in the order in which they were finished.
        total: files of the batch.
        seconds: since its start.
        is_over: nothing more will come: it is complete or was stopped.
    """

    entries: tuple[tuple[int, CaptionedFile], ...]
    total: int
    seconds: float
    is_over: bool = False

    @property
    def done(self) -> int:
        """How many files are finished."""
        return len(self.entries)

    @property
    def failed(self) -> int:
        """How many of these have no captions."""
        return sum(entry.comparison is None for _, entry in self.entries)

    @property
    def seconds_left(self) -> float | None:
        """Expected time to the end, if the others take as long as those that are done; None before the first one."""
        return self.seconds / self.done * (self.total - self.done) if self.done else None

    def sentence(self) -> Phrase:
        """The progress in words."""
        if not self.is_over:
            count = Phrase("{count} of {total}", count=self.done, total=self.total)
            if self.seconds_left is None:
                return count
            return Phrase("{count} · {time} left", count=count, time=duration(self.seconds_left))
        captioned = self.done - self.failed
        if self.done < self.total:
            text = Phrase(
                "Stopped. {count} of {total} files are captioned, and stay.", count=captioned, total=self.total
            )
        else:
            text = Phrase(
                "{count} of {total} files captioned in {time}.",
                count=captioned,
                total=self.total,
                time=duration(self.seconds),
            )
        if not self.failed:
            return text
        failed = (
            Phrase("1 could not be captioned: see its row.")
            if self.failed == 1
            else Phrase("{count} could not be captioned: see their rows.", count=self.failed)
        )
        return Phrase("{done} {failed}", done=text, failed=failed)


def duration(seconds: float) -> Phrase:
    """Rounded up, in words: ``about 40 s``, ``about 3 min``."""
    if seconds < 100:
        return Phrase("about {count} s", count=max(1, math.ceil(seconds)))
    return Phrase("about {count} min", count=math.ceil(seconds / 60))


def progress_of(
    files: Sequence[BatchFile],
    captioners: Mapping[Modality, BatchCaptioner],
    *,
    at_once: int,
    should_stop: Callable[[], bool] = never_stop,
) -> Iterator[Progress]:
    """Caption the files: the progress at the start, after every file, and at the end."""
    started = time.perf_counter()
    entries: tuple[tuple[int, CaptionedFile], ...] = ()
    yield Progress(entries, len(files), 0.0)
    with closing(caption_batch(files, captioners, at_once=at_once, should_stop=should_stop)) as finished:
        for pair in finished:
            entries = (*entries, pair)
            yield Progress(entries, len(files), time.perf_counter() - started)
    yield Progress(entries, len(files), time.perf_counter() - started, is_over=True)


def write_downloads(progress: Progress, folder: Path, texts: Texts = ENGLISH) -> tuple[Path, Path, Path]:
    """Write ``captions.csv``, ``captions.json`` and ``report.html`` of the finished files, in the order given.

    The table and the report are in a language; the JSON is the same in all of them.
    """
    entries = [entry for _, entry in sorted(progress.entries, key=lambda pair: pair[0])]
    table, data, report = folder / "captions.csv", folder / "captions.json", folder / "report.html"
    # With the mark by which spreadsheets know UTF-8.
    with table.open("w", encoding="utf-8-sig", newline="") as file:
        write_csv(entries, file, texts)
    with data.open("w", encoding="utf-8") as file:
        write_json(entries, file)
    with opened_report(report, Phrase("Captions of {count} files", count=len(entries)), texts) as page:
        for entry in entries:
            page.add(entry)
    return table, data, report


class BatchRuns:
    """The running batch of each browser session, which can be stopped."""

    def __init__(self) -> None:
        self._stops: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    def begin(self, session: str) -> None:
        """Register a batch that is about to start; an earlier one of the session stops."""
        with self._lock:
            earlier = self._stops.get(session)
            self._stops[session] = threading.Event()
        if earlier:
            earlier.set()

    def stop_of(self, session: str) -> threading.Event:
        """The flag that ends the session's latest batch; a set one if there is none."""
        with self._lock:
            if session in self._stops:
                return self._stops[session]
        ended = threading.Event()
        ended.set()
        return ended

    def stop(self, session: str) -> None:
        """End the session's batch, if there is one; what it has finished stays."""
        self.stop_of(session).set()

    def forget(self, session: str) -> None:
        """End the session's batch and forget it: the visitor has left."""
        with self._lock:
            stop = self._stops.pop(session, None)
        if stop:
            stop.set()
