"""The HTML report: one file with everything in it, written entry by entry.

Captions, labels and file names are never trusted: the template escapes them, and the file's own content security policy
forbids scripts and every request.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lora_mcl.errors import MediaError, OptionsError, printable
from lora_mcl.languages import language_of
from lora_mcl.report.entries import CaptionedFile
from lora_mcl.report.media import picture_uri, sound_uri
from lora_mcl.texts import ENGLISH, Texts
from lora_mcl.types import Caption, ColumnResult, ColumnSpec, CompareOptions, Comparison

SUFFIXES = (".html", ".htm")
# Accent colours in the template; a model with more hypotheses starts over.
_NUM_ACCENTS = 6


@contextmanager
def opened_report(path: Path, title: str, texts: Texts = ENGLISH) -> Iterator[HtmlReport]:
    """A report that is written to ``path``, each entry as soon as it is added; complete when the block ends.

    Args:
        texts: the language of everything but the captions and the settings' names.

    Raises:
        OptionsError: the path does not end in .html, or cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise OptionsError(f"--report {path}: give a file that ends in .html.")
    try:
        with path.open("w", encoding="utf-8") as file:
            report = HtmlReport(file, title, texts)
            try:
                yield report
            finally:  # also after an interruption: what there is can be read
                report.finish()
    except OSError as error:
        raise OptionsError(f"--report {path} cannot be written: {error.strerror or error}.") from error


class HtmlReport:
    """An HTML file of captioned files.

    Entries are written as they come, so that thousands of them need no memory; ``finish`` ends the file.
    """

    def __init__(self, file: TextIO, title: str, texts: Texts = ENGLISH) -> None:
        """Begin the report; ``title`` is its heading."""
        self._file = file
        self._texts = texts
        self._parts = _template(texts).module
        self._number = 0
        # What the captions were made by, in order of appearance, each once.
        self._runs: list[dict[str, Any]] = []
        today = datetime.date.today().isoformat()
        self._write(self._parts.head(printable(texts(title)), today))

    def add(self, entry: CaptionedFile) -> None:
        """Write one captioned file, its picture or sound embedded."""
        self._number += 1
        name = printable(entry.name)
        if entry.comparison is None:
            self._write(self._parts.failure(self._number, name, self._texts(entry.error)))
            return
        run = _run(entry.comparison, entry.options, entry.source, self._texts)
        if run not in self._runs:
            self._runs.append(run)
        columns = [
            _column(spec, result, self._texts)
            for spec, result in zip(entry.specs, entry.comparison.columns, strict=True)
        ]
        self._write(
            self._parts.entry(
                self._number,
                name,
                _media(entry, self._texts),
                _facts(entry.comparison, self._texts),
                _notices(entry, self._texts),
                columns,
            )
        )

    def finish(self) -> None:
        """Write the models and settings, and end the file."""
        self._write(self._parts.foot(self._runs))

    def _write(self, text: str) -> None:
        print(text, file=self._file, flush=True)


def _template(texts: Texts) -> Any:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = partial(_number, texts)
    environment.globals["texts"] = texts
    return environment.get_template("template.html")


def _number(texts: Texts, value: float, decimals: int) -> str:
    return texts.number(value, f".{decimals}f").replace("-", "−")


def _media(entry: CaptionedFile, texts: Texts) -> dict[str, str]:
    """The embedded picture or sound; where the file no longer exists, a sentence."""
    window = entry.comparison.window
    kind = "picture" if window is None else "sound"
    try:
        uri = picture_uri(entry.file) if window is None else sound_uri(entry.file, window)
    except MediaError as error:
        return {"kind": kind, "uri": "", "error": texts.error(error)}
    return {"kind": kind, "uri": uri, "error": ""}


def _facts(comparison: Comparison, texts: Texts) -> list[str]:
    window = comparison.window
    part = []
    if window:
        of_it = {"start": window.start, "end": window.end, "duration": window.duration}
        part = [texts("second {start:.1f} to {end:.1f} of {duration:.1f}", **of_it)]
    ended = [texts("stopped before the end")] if comparison.stopped else []
    return [comparison.model, *part, f"{texts.number(comparison.seconds, '.1f')} s", *ended]


def _notices(entry: CaptionedFile, texts: Texts) -> list[str]:
    return [printable(texts(notice)) for notice in entry.comparison.notices]


def _run(comparison: Comparison, options: CompareOptions, source: str, texts: Texts) -> dict[str, Any]:
    """The model and every setting of a caption, by its name on the command line."""
    sampling = ("temperature", "top_k", "top_p", "typical_p", "seed")
    settings = {
        field.name: getattr(options, field.name)
        for field in fields(options)
        if options.num_samples or field.name not in sampling
    }
    settings["columns"] = ", ".join(options.columns) or texts("all")
    return {"model": comparison.model, "source": printable(source), "settings": settings}


def _column(spec: ColumnSpec, result: ColumnResult, texts: Texts) -> dict[str, Any]:
    number = spec.number
    return {
        "kind": "baseline" if number is None else f"hypothesis accent-{number % _NUM_ACCENTS}",
        "hypothesis": number is not None,
        "number": None if number is None else number + 1,
        "label": texts(spec.label),
        "description": texts(spec.description),
        "captions": [_caption(caption) for caption in result.captions],
    }


def _caption(caption: Caption) -> dict[str, Any]:
    return {
        "text": " ".join(caption.text.split()),
        "language": language_of(caption.text) or "",
        "log_prob": caption.log_prob,
        "mean": caption.mean_log_prob,
        "tokens": caption.tokens,
        "score": caption.score,
    }
