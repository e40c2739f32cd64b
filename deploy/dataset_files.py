"""Files of ``deploy.caption_dataset``: what is to be captioned, the parts that are done, and the finished table."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from lora_mcl.batch import media_in
from lora_mcl.errors import MediaError, OptionsError
from lora_mcl.output_paths import make_output_folder
from lora_mcl.report.entries import CaptionedFile
from lora_mcl.types import ColumnResult

_CAPTION = pa.struct(
    [
        ("text", pa.string()),
        ("log_prob", pa.float64()),
        ("mean_log_prob", pa.float64()),
        ("tokens", pa.int32()),
        ("score", pa.float64()),
    ]
)
_COLUMN = pa.struct(
    [("id", pa.string()), ("method", pa.string()), ("label", pa.string()), ("captions", pa.list_(_CAPTION))]
)
SCHEMA = pa.schema(
    [("file", pa.string()), ("model", pa.string()), ("columns", pa.list_(_COLUMN)), ("error", pa.string())]
)
"""Columns of a part and of the finished table; ``error`` says why a file has no captions."""

_READERS = {".csv": pyarrow.csv.read_csv, ".jsonl": pyarrow.json.read_json, ".parquet": pyarrow.parquet.read_table}
FORMATS = (".jsonl", ".parquet")


def listed(source: Path, column: str) -> list[str]:
    """The media of a folder, in the order of their names, or those that a column of a table names.

    Args:
        source: a folder, or a table that ends in .csv, .jsonl or .parquet; its paths are relative to its folder.
        column: of the table.

    Raises:
        MediaError: there is no such folder or table, or nothing in it.
        OptionsError: the table has no such column of texts.
    """
    if source.is_dir():
        files = [str(file) for file in media_in(source)[0]]
        if not files:
            raise MediaError(f"There are no images and no sounds in {source}.")
        return files
    if source.suffix not in _READERS:
        raise MediaError(f"{source} is no folder and no table: give a folder, or a .csv, .jsonl or .parquet file.")
    try:
        table = _READERS[source.suffix](source)
    except FileNotFoundError:
        raise MediaError(f"There is no file {source}.") from None
    except (pa.ArrowException, OSError) as error:
        raise MediaError(f"{source} cannot be read as {source.suffix}: {str(error).splitlines()[0]}") from None
    if column not in table.column_names:
        raise OptionsError(f"{source.name} has no column {column}; it has {', '.join(table.column_names)}.")
    values = table.column(column).to_pylist()
    if not all(isinstance(value, str) and value for value in values):
        raise OptionsError(f"Column {column} of {source.name} must hold a path in every row.")
    if not values:
        raise MediaError(f"{source.name} has no rows.")
    return [str(source.parent / value) for value in values]


def row(captioned: CaptionedFile) -> dict[str, Any]:
    """A row of ``SCHEMA``; without times, so that the same files give the same rows."""
    comparison = captioned.comparison
    return {
        "file": captioned.name,
        "model": comparison.model if comparison else None,
        "columns": [_column(result) for result in comparison.columns] if comparison else [],
        "error": captioned.error or None,
    }


def _column(result: ColumnResult) -> dict[str, Any]:
    captions = [caption.to_dict() for caption in result.captions]
    return {"id": result.id, "method": result.method, "label": result.label, "captions": captions}


@dataclass(frozen=True)
class Run:
    """What decides the captions: a run goes on only with parts of the same."""

    bundle: str
    options: dict[str, Any]
    files: list[str]
    files_a_part: int


class Parts:
    """The finished parts of a run, in a folder next to its output: ``captions.jsonl.parts/000000.parquet``, ..."""

    def __init__(self, out: Path, run: Run) -> None:
        """Begin or go on.

        Raises:
            OptionsError: the folder holds parts of another run, or cannot be written to.
        """
        self.folder = out.with_name(f"{out.name}.parts")
        self._out, self._run = out, run
        note, wanted = self.folder / "run.json", json.dumps(asdict(run), sort_keys=True)
        if note.exists() and note.read_text(encoding="utf-8") != wanted:
            raise OptionsError(
                f"{self.folder} holds parts of another run (other files, bundle or options): delete it, or choose "
                "another --out."
            )
        make_output_folder(self.folder, "--out")
        _write(note, lambda file: file.write_text(wanted, encoding="utf-8"))

    @property
    def count(self) -> int:
        """Number of parts in all."""
        return -(-len(self._run.files) // self._run.files_a_part)

    def missing(self) -> Iterator[tuple[int, list[str]]]:
        """Number and files of each part that is not done."""
        for number in range(self.count):
            if not self._file(number).exists():
                first = number * self._run.files_a_part
                yield number, self._run.files[first : first + self._run.files_a_part]

    def add(self, number: int, rows: Sequence[dict[str, Any]]) -> None:
        """Keep a finished part."""
        table = pa.Table.from_pylist(list(rows), schema=SCHEMA)
        _write(self._file(number), lambda file: pyarrow.parquet.write_table(table, file))

    def finish(self) -> int:
        """Join the parts into the output, in the order of the files; returns how many files have an error."""
        errors = 0

        def join(file: Path) -> None:
            nonlocal errors
            with _Writer(file, self._out.suffix) as writer:
                for number in range(self.count):
                    table = pyarrow.parquet.read_table(self._file(number), schema=SCHEMA)
                    errors += len(table) - table.column("error").null_count
                    writer.write(table)

        _write(self._out, join)
        for file in [*map(self._file, range(self.count)), self.folder / "run.json"]:
            file.unlink()
        self.folder.rmdir()
        return errors

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06d}.parquet"


class _Writer:
    """Writes tables of ``SCHEMA`` one after the other into a file."""

    def __init__(self, file: Path, suffix: str) -> None:
        self._parquet = pyarrow.parquet.ParquetWriter(file, SCHEMA) if suffix == ".parquet" else None
        self._lines = None if self._parquet else file.open("w", encoding="utf-8")

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        (self._parquet or self._lines).close()

    def write(self, table: pa.Table) -> None:
        if self._parquet:
            self._parquet.write_table(table)
            return
        for entry in table.to_pylist():
            self._lines.write(json.dumps(_without_none(entry), ensure_ascii=False, allow_nan=False) + "\n")


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(inner) for name, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, list) else value


def _write(file: Path, write: Any) -> None:
    """Write a file whole or not at all."""
    unfinished = file.with_name(f".{file.name}.unfinished")
    write(unfinished)
    os.replace(unfinished, file)
