"""Output of ``caption``: an aligned table, JSON, or a file of many captions."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from lora_mcl.errors import OptionsError
from lora_mcl.report.tables import headers
from lora_mcl.texts import ENGLISH, Texts
from lora_mcl.types import Comparison

Write = Callable[[Path, Comparison], None]
"""Writes the comparison of one input file."""

_CSV_FIELDS = ("file", "column", "rank", "caption", "tokens", "log_prob", "mean_log_prob", "score")


def comparison_table(comparison: Comparison) -> str:
    """The comparison as aligned text: one line per caption, best first by its score, log-probabilities in nats."""
    rows = [("column", "seconds", "tokens", "log p/token", "score", "caption")]
    for column in comparison.columns:
        heading = (column.label, f"{column.seconds:.2f}")
        for caption in column.captions:
            text = " ".join(caption.text.split())
            score = "" if caption.score is None else f"{caption.score:.3f}"
            rows.append((*heading, str(caption.tokens), f"{caption.mean_log_prob:.3f}", score, text))
            heading = ("", "")
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:5], widths[1:]), row[5]]).rstrip() for row in rows
    ]
    title = f"{comparison.media} captioned by {comparison.model} in {comparison.seconds:.1f} s"
    return "\n".join([title, "", *lines])


def json_line(file: Path, comparison: Comparison) -> str:
    """One line of JSON: the comparison's own, with the path of its file."""
    return json.dumps({"file": str(file), **comparison.to_dict()}, ensure_ascii=False, allow_nan=False)


@contextmanager
def opened(out: Path, texts: Texts = ENGLISH) -> Iterator[Write]:
    """A function that writes comparisons to ``out``, each as soon as it is there.

    ``.jsonl``: a line of JSON per input file. ``.csv``: a row per caption, with headers in a
    language. A folder: a text file per input file, named like it, with a line per hypothesis, as
    ``training.data`` reads captions.

    Raises:
        OptionsError: it is none of the three, or cannot be written.
    """
    try:
        if out.suffix == ".jsonl":
            with out.open("w", encoding="utf-8") as file:
                yield lambda path, comparison: print(json_line(path, comparison), file=file, flush=True)
        elif out.suffix == ".csv":
            with out.open("w", encoding="utf-8", newline="") as file:
                yield _csv_writer(file, texts)
        elif out.suffix and not out.is_dir():
            raise OptionsError(f"--out {out}: give a file that ends in .jsonl or .csv, or a folder for text files.")
        else:
            out.mkdir(parents=True, exist_ok=True)
            yield _text_writer(out)
    except OSError as error:
        raise OptionsError(f"--out {out} cannot be written: {error.strerror}.") from error


def _csv_writer(file: TextIO, texts: Texts) -> Write:
    writer = csv.DictWriter(file, _CSV_FIELDS)
    writer.writerow(headers(_CSV_FIELDS, texts))

    def write(path: Path, comparison: Comparison) -> None:
        for column in comparison.columns:
            for rank, caption in enumerate(column.captions, start=1):
                row = {"file": str(path), "column": column.id, "rank": rank, "caption": caption.text}
                numbers = {name: value for name, value in caption.to_dict().items() if name != "text"}
                writer.writerow(row | numbers)
        file.flush()

    return write


def _text_writer(folder: Path) -> Write:
    written: set[str] = set()

    def write(path: Path, comparison: Comparison) -> None:
        name, number = path.stem, 1
        while name in written:  # photo.jpg and photo.png must not share a file
            number += 1
            name = f"{path.stem}-{number}"
        written.add(name)
        captions = [" ".join(text.split()) for text in comparison.captions("hypothesis")]
        (folder / f"{name}.txt").write_text("\n".join(captions) + "\n", encoding="utf-8")

    return write
