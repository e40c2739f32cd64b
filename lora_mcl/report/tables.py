"""Captioned files as CSV and JSON: every caption with its scores, the model and the settings."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TextIO

from lora_mcl.report.entries import CaptionedFile
from lora_mcl.texts import ENGLISH, Texts

FIELDS = (
    *("file", "model", "column", "label", "rank", "caption", "tokens", "log_prob", "mean_log_prob", "score"),
    *("settings", "error"),
)
# Spreadsheets take a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def entry_dict(entry: CaptionedFile) -> dict[str, Any]:
    """One file's JSON: its name, and the comparison's own form with ``settings``, or else ``error``."""
    if entry.comparison is None:
        return {"file": entry.name, "error": entry.error}
    return {"file": entry.name, **entry.comparison.to_dict(), "settings": asdict(entry.options)}


def write_json(entries: Sequence[CaptionedFile], file: TextIO) -> None:
    """Write all entries as one JSON object, ``{"files": [...]}``; log-probabilities in nats."""
    json.dump({"files": [entry_dict(entry) for entry in entries]}, file, ensure_ascii=False, allow_nan=False, indent=1)


def write_csv(entries: Sequence[CaptionedFile], file: TextIO, texts: Texts = ENGLISH) -> None:
    """Write a row for each caption, and one for each file without any; headers, labels and errors in a language."""
    writer = csv.DictWriter(file, FIELDS)
    writer.writerow(headers(FIELDS, texts))
    for entry in entries:
        writer.writerows(_rows(entry, texts))


def headers(fields: Sequence[str], texts: Texts) -> dict[str, str]:
    """The first row of a table: the fields' names in a language."""
    return {field: texts(field) for field in fields}


def _rows(entry: CaptionedFile, texts: Texts) -> list[dict[str, Any]]:
    comparison = entry.comparison
    if comparison is None:
        return [{"file": _cell(entry.name), "error": _cell(texts(entry.error))}]
    shared = {
        "file": _cell(entry.name),
        "model": _cell(comparison.model),
        "settings": json.dumps(asdict(entry.options)),
    }
    return [
        {
            **shared,
            "column": column.id,
            "label": _cell(texts(column.label)),
            "rank": rank,
            "caption": _cell(caption.text),
            "tokens": caption.tokens,
            "log_prob": caption.log_prob,
            "mean_log_prob": caption.mean_log_prob,
            "score": "" if caption.score is None else caption.score,
        }
        for column in comparison.columns
        for rank, caption in enumerate(column.captions, start=1)
    ]


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
