"""Tables for tests of what reads them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path


def read_rows(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def write_rows(file: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """Write rows with the same columns as a CSV file; returns it."""
    with file.open("w", encoding="utf-8", newline="") as opened:
        table = csv.DictWriter(opened, fieldnames=list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return file


def with_changed_row(file: Path, folder: Path, changes: Mapping[str, str]) -> Path:
    """Copy a CSV file into ``folder`` with its first row changed; returns the copy."""
    first, *others = read_rows(file)
    return write_rows(folder / file.name, [first | changes, *others])
