"""A CSV, TSV, JSONL, JSON or parquet file that names a media file and its captions in each row.

JSON is a list of such rows, or LLaVA's: ``[{"image", "conversations": [{"from": "human", "value"}, {"from": "gpt",
"value"}]}]``, where the answer is the caption. A parquet file may hold the media themselves.
"""

from __future__ import annotations

import csv
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from training.data.example import ENDINGS, DataError, Example, existing, group_captions
from training.data.options import DataOptions
from training.data.readers.cells import CellMedia, load_parquet

logger = logging.getLogger(__name__)

MEDIA_COLUMNS = ("file_name", "file", "path", "media", "image", "audio", "filename", "image_path", "audio_path")
CAPTION_COLUMNS = ("caption", "captions", "text", "description")
MODE_COLUMN = "mode"
_NUMBERED = re.compile(r"(?:caption|text)_?\d+")

Row = Mapping[str, Any]


def read_table(options: DataOptions) -> list[Example]:
    """Read a table of one's own; rows of one file (and mode) are one example.

    Raises:
        DataError: the table or its media folder is missing, it has no such columns, a row is malformed, or too many
            files are missing.
    """
    table = existing(options.path, "table")
    root = existing(options.media, "media folder") if options.media else table.parent
    if table.suffix.lower() == ".parquet" and (examples := read_embedded_media(table, options)) is not None:
        return examples
    rows = read_rows(table)
    media, captions, mode = chosen_columns(options, list(rows[0]), str(table))
    named = []
    for number, row in enumerate(rows, 1):
        if not row.get(media):
            raise DataError(f"{table}, row {number}: there is no file name in column {media!r}")
        named.append((str(row[media]), texts_of(row, captions, f"{table}, row {number}"), mode_of(row, mode)))
    return resolve(named, lambda name: file_in(root, name), options, str(table))


def file_in(root: Path, name: str) -> Path:
    """A file that a table names; backslashes, as Windows writes them, are separators unless a file is called so."""
    path = root / name
    return path if path.is_file() or "\\" not in name else root / name.replace("\\", "/")


def resolve(
    named: Sequence[tuple[str, Sequence[str], str | None]],
    place: Callable[[str], Path | None],
    options: DataOptions,
    where: str,
) -> list[Example]:
    """Examples from (file name, captions, mode) rows; files that are not there are left out up to the limit.

    Args:
        place: from a file's name to its path, or None if it cannot be found.

    Raises:
        DataError: more than ``max_missing`` files are not there, or some are of another modality.
    """
    paths: dict[str, Path | None] = {}
    found = 0
    for name in dict.fromkeys(name for name, _, _ in named):
        if options.limit and found == options.limit:
            break
        path = place(name)
        paths[name] = path if path is not None and path.is_file() else None
        found += paths[name] is not None
    missing = [name for name, path in paths.items() if path is None]
    if len(missing) > options.max_missing:
        some = ", ".join(str(place(name) or name) for name in missing[:3])
        raise DataError(
            f"{where} names {len(missing)} files of {len(paths)} that are not there, among them {some}. Check the "
            f"media folder, or set max_missing to {len(missing)} to do without them (it is {options.max_missing})"
        )
    if missing:
        logger.warning("%s: %d of %d files are not there and are left out", where, len(missing), len(paths))
    _check_modality([path for path in paths.values() if path is not None], options, where)
    rows = [(paths[name], captions, mode) for name, captions, mode in named if paths.get(name) is not None]
    return group_captions(rows, where)


def _check_modality(files: Sequence[Path], options: DataOptions, where: str) -> None:
    """Refuse files that by their endings are of the other modality."""
    if options.modality is None:
        return
    own = ENDINGS[options.modality]
    others = frozenset().union(*ENDINGS.values()) - own
    wrong = [file for file in files if file.suffix.lower() in others]
    if wrong:
        raise DataError(f"{where} names {len(wrong)} files that are no {options.modality}, such as {wrong[0].name}")


def read_rows(file: Path) -> list[Row]:
    """All rows of a table, by column; the answers of LLaVA's conversations as column ``caption``.

    Raises:
        DataError: it is no table, is not UTF-8, has no rows or malformed ones.
    """
    readers = {".csv": _csv_rows, ".tsv": _csv_rows, ".jsonl": _jsonl_rows, ".json": _json_rows}
    if file.suffix.lower() == ".parquet":
        rows: list[Row] = load_parquet(file).to_list()
        if not rows:
            raise DataError(f"{file} has no rows")
        return rows
    if file.suffix.lower() not in readers:
        raise DataError(f"{file} is no CSV, TSV, JSONL, JSON or parquet file (by its ending)")
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(readers[file.suffix.lower()](file, lines))
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text: save it as UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{file} cannot be read as a table: {error}") from error
    if not rows:
        raise DataError(f"{file} has no rows")
    return [_with_answers(row, f"{file}, row {number}") for number, row in enumerate(rows, 1)]


def _with_answers(row: Row, where: str) -> Row:
    """A row with the answer of its conversation, if it holds one, as its caption."""
    turns = row.get("conversations")
    if not isinstance(turns, list) or "caption" in row:
        return row
    answers = [
        turn.get("value")
        for turn in turns
        if isinstance(turn, Mapping) and str(turn.get("from")).lower() in ("gpt", "assistant")
    ]
    if len(answers) != 1:
        raise DataError(f"{where}: its conversation has {len(answers)} answers; a caption is the one answer of one")
    return {**row, "caption": answers[0]}


def _csv_rows(file: Path, lines: Iterable[str]) -> Iterator[Row]:
    # Spreadsheets of many countries write semicolons; the header shows which, as column names hold none of these.
    lines = iter(lines)
    header = next(lines, "")
    reader = csv.DictReader(chain([header], lines), delimiter=max(",;\t", key=header.count))
    for row in reader:
        if None in row:
            raise DataError(
                f"{file}, line {reader.line_num}: more cells than columns ({', '.join(reader.fieldnames or ())}): put "
                'captions with commas between quotes, "like, this"'
            )
        yield {name: value or "" for name, value in row.items()}


def _json_rows(file: Path, lines: Iterable[str]) -> Iterator[Row]:
    content = parse_json("".join(lines), str(file))
    if not isinstance(content, list):
        raise DataError(f"{file} is no list of rows; for COCO captions or TextCaps set kind to coco")
    for number, row in enumerate(content, 1):
        if not isinstance(row, dict):
            raise DataError(f"{file}, row {number}: an object is needed, with a file name and captions")
        yield row


def parse_json(text: str, where: str) -> Any:
    """The value of a JSON text.

    Raises:
        DataError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{where} is not JSON: {error}") from error
    except RecursionError as error:
        raise DataError(f"{where} is not JSON that can be read: nested too deeply") from error


def _jsonl_rows(file: Path, lines: Iterable[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{file}, line {number}: not JSON ({error.msg}); JSONL has one object a line") from error
        except RecursionError as error:
            raise DataError(f"{file}, line {number}: JSON that is nested too deeply") from error
        if not isinstance(row, dict):
            raise DataError(f"{file}, line {number}: an object is needed, with a file name and captions")
        yield row


def read_embedded_media(table: Path, options: DataOptions) -> list[Example] | None:
    """The examples of a parquet table whose media column holds encoded files; None where it holds file names."""
    rows = load_parquet(table)
    if not len(rows):
        raise DataError(f"{table} has no rows")
    media, captions, mode = chosen_columns(options, list(rows.column_names), str(table))
    if not isinstance(rows[0][media], Mapping | bytes):
        return None
    texts = rows.remove_columns(media)
    number = min(len(rows), options.limit or len(rows))
    named = [
        (
            CellMedia(str(table), index, media, rows),
            texts_of(row, captions, f"{table}, row {index + 1}"),
            mode_of(row, mode),
        )
        for index, row in enumerate(texts.select(range(number)))
    ]
    return group_captions(named, str(table))


def chosen_columns(
    options: DataOptions, there: Sequence[str], where: str, media: str = ""
) -> tuple[str, tuple[str, ...], str]:
    """The columns of media (unless known), captions and mode ("" for none), by the options or by the usual names.

    Raises:
        DataError: they are not there.
    """

    def lacking(what: str, option: str) -> DataError:
        return DataError(f"{where} has no {what}; its columns are {', '.join(there)}: name yours with {option}")

    media = media or options.media_column or next((name for name in MEDIA_COLUMNS if name in there), "")
    if media not in there:
        raise lacking(f"column {media!r}" if media else "column of file names", "media_column")
    usual = [name for name in CAPTION_COLUMNS if name in there][:1] or [n for n in there if _NUMBERED.fullmatch(n)]
    captions = tuple(options.caption_columns) or tuple(usual)
    absent = [name for name in captions if name not in there]
    if absent or not captions:
        raise lacking(f"column {absent[0]!r}" if absent else "column of captions", "caption_columns")
    if options.mode_column and options.mode_column not in there:
        raise lacking(f"column {options.mode_column!r}", "mode_column")
    return media, captions, options.mode_column or (MODE_COLUMN if MODE_COLUMN in there else "")


def texts_of(row: Row, columns: Sequence[str], where: str) -> list[str]:
    """The captions of a row; a cell holds one, or a list of them.

    Raises:
        DataError: a cell holds something else.
    """
    texts: list[str] = []
    for column in columns:
        cell = row.get(column)
        found = [] if cell is None else cell if isinstance(cell, list) else [cell]
        if not all(isinstance(text, str) for text in found):
            raise DataError(f"{where}: {column} must be text or a list of texts, not {cell!r}")
        texts += found
    return texts


def mode_of(row: Row, column: str) -> str | None:
    """The mode a row names, if it does."""
    return str(row[column]) if column and row.get(column) not in (None, "") else None
