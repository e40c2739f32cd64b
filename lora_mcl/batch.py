"""Captions of many files: several at a time, in token steps that the captioner's scheduler shares."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lora_mcl.errors import LoraMclError, MediaError, without_message
from lora_mcl.images import modality_of
from lora_mcl.modality import Modality
from lora_mcl.phrases import Phrase
from lora_mcl.report.entries import CaptionedFile
from lora_mcl.types import CaptionSource, CompareOptions, Comparison, never_stop

logger = logging.getLogger(__name__)

AT_ONCE = 4
"""Files whose captions are written at the same time."""


@dataclass(frozen=True)
class BatchFile:
    """A file to caption: its name, its path, and the reason if it is already known to be unusable."""

    name: str
    file: Path
    error: str = ""


@dataclass(frozen=True)
class BatchCaptioner:
    """A captioner with the options for all files of its modality."""

    captioner: CaptionSource
    options: CompareOptions


@dataclass
class _Running:
    """The comparison of one file in progress."""

    item: BatchFile
    used: BatchCaptioner
    snapshots: Generator[Comparison, None, None]
    latest: Comparison | None = None

    def advance(self) -> bool:
        """Take one snapshot; whether there is more to come."""
        latest = next(self.snapshots, None)
        if latest is not None:
            self.latest = latest
        return latest is not None and not (latest.done or latest.stopped)


def media_in(folder: Path) -> tuple[list[Path], int]:
    """The images and sounds in a folder and in those below it, in the order of their names; hidden ones do not count.

    Returns:
        The files, and how many others there are.
    """
    found, others = [], 0
    for file in sorted(folder.rglob("*")):
        if any(part.startswith(".") for part in file.relative_to(folder).parts) or not file.is_file():
            continue
        try:
            modality_of(file)
        except MediaError:
            others += 1
        else:
            found.append(file)
    return found, others


def caption_batch(
    items: Sequence[BatchFile],
    captioners: Mapping[Modality, BatchCaptioner],
    *,
    at_once: int = AT_ONCE,
    should_stop: Callable[[], bool] = never_stop,
) -> Iterator[tuple[int, CaptionedFile]]:
    """Caption files, each with the captioner of its modality.

    Args:
        items: the files; those that have an error already keep it.
        at_once: how many may be in work. All are advanced by the calling thread, so that one forward pass serves them.
        should_stop: asked before every token; true ends the iteration, and what was not finished is dropped.

    Yields:
        Each file's place in ``items``, with its comparison or its error, as soon as it is finished.
    """
    waiting = deque(enumerate(items))
    running: dict[int, _Running] = {}
    try:
        while (waiting or running) and not should_stop():
            while waiting and len(running) < at_once:
                index, item = waiting.popleft()
                started = _started(item, captioners, should_stop)
                if isinstance(started, _Running):
                    running[index] = started
                else:
                    yield index, started
            for index in list(running):
                finished = _advanced(running[index])
                if finished is None:
                    continue
                del running[index]
                if finished.comparison is not None and finished.comparison.stopped:
                    return
                yield index, finished
    finally:
        for each in running.values():
            each.snapshots.close()


def _started(
    item: BatchFile, captioners: Mapping[Modality, BatchCaptioner], should_stop: Callable[[], bool]
) -> _Running | CaptionedFile:
    if item.error:
        return CaptionedFile(item.name, item.file, error=item.error)
    try:
        modality = modality_of(item.file)
        if modality not in captioners:
            if modality == "audio":
                raise MediaError(Phrase("This is a file of sounds, and there is only a model for pictures here."))
            raise MediaError(Phrase("This is a file of pictures, and there is only a model for sounds here."))
        used = captioners[modality]
        return _Running(item, used, used.captioner.compare(item.file, used.options, should_stop=should_stop))
    except Exception as error:
        return _failed(item, error)


def _advanced(running: _Running) -> CaptionedFile | None:
    """The file if it is finished."""
    try:
        if running.advance():
            return None
    except Exception as error:
        return _failed(running.item, error)
    specs = running.used.captioner.columns(running.used.options)
    item = running.item
    return CaptionedFile(item.name, item.file, running.latest, specs, running.used.options)


def _failed(item: BatchFile, error: Exception) -> CaptionedFile:
    if isinstance(error, LoraMclError):
        message = error.args[0] if len(error.args) == 1 else str(error)
    else:
        # One file of many must not take the others with it; the log has what a visitor cannot use.
        logger.error("A file of a batch could not be captioned: %s", without_message(error))
        message = Phrase("Something went wrong with this file. Please try it alone.")
    return CaptionedFile(item.name, item.file, error=message)
