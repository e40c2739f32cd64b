"""Published captioning data as they are downloaded: AudioCaps, Clotho, COCO captions and TextCaps.

AudioCaps (Kim et al. 2019) is a CSV of ``audiocap_id,youtube_id,start_time,caption``; the clips come from elsewhere,
and every downloader names them its own way. Clotho (Drossos et al. 2020) is a CSV of ``file_name`` and ``caption_1``
to ``caption_5``. COCO captions (Chen et al. 2015) are
``{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}``, TextCaps (Sidorov et al. 2020)
``{"data": [{"image_id", "image_path", "caption_str", "reference_strs"}]}``; in both, an annotation may also name its
``mode``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.data.example import ENDINGS, DataError, Example, existing
from training.data.options import DataOptions
from training.data.readers.table import (
    MODE_COLUMN,
    Row,
    file_in,
    mode_of,
    parse_json,
    read_rows,
    resolve,
    texts_of,
)

CLOTHO_CAPTIONS = tuple(f"caption_{number}" for number in range(1, 6))


def read_audiocaps(options: DataOptions) -> list[Example]:
    """Read AudioCaps. Its clips may lie in subfolders, in any format, called by YouTube id and start
    (``-0Gj8-vB1q4_30``), by YouTube id (with or without a Y before it), or by AudioCaps id.

    Raises:
        DataError: a path is missing, the CSV is no AudioCaps, or more clips are missing than allowed.
    """
    table, root = _paths(options)
    rows = _checked(read_rows(table), ("youtube_id", "start_time", "caption"), table, "AudioCaps")
    by_stem = {file.stem: file for file in sorted(root.rglob("*")) if file.suffix.lower() in ENDINGS["audio"]}
    stems = {_clip(row): _stems(row) for row in rows}

    def place(clip: str) -> Path | None:
        return next((by_stem[stem] for stem in stems[clip] if stem in by_stem), None)

    named = [(_clip(row), [row["caption"]], mode_of(row, MODE_COLUMN)) for row in rows]
    return resolve(named, place, options, str(table))


def _clip(row: Row) -> str:
    return f"{row['youtube_id']}_{row['start_time']}"


def _stems(row: Row) -> tuple[str, ...]:
    ids = (row.get("audiocap_id", ""), row["youtube_id"])
    return (_clip(row), ids[1], f"Y{ids[1]}", f"Y{_clip(row)}", ids[0])


def read_clotho(options: DataOptions) -> list[Example]:
    """Read Clotho.

    Raises:
        DataError: a path is missing, the CSV is no Clotho, or more clips are missing than allowed.
    """
    table, root = _paths(options)
    rows = _checked(read_rows(table), ("file_name", *CLOTHO_CAPTIONS), table, "Clotho")
    named = [(row["file_name"], texts_of(row, CLOTHO_CAPTIONS, str(table)), mode_of(row, MODE_COLUMN)) for row in rows]
    return resolve(named, lambda name: file_in(root, name), options, str(table))


def read_coco(options: DataOptions) -> list[Example]:
    """Read JSON in the form of COCO captions or of TextCaps.

    Raises:
        DataError: a path is missing, the JSON has neither form, or more images are missing than allowed.
    """
    file, root = _paths(options)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not JSON: {error}") from error
    content = parse_json(text, str(file))
    keys = set(content) if isinstance(content, dict) else set()
    if {"images", "annotations"} <= keys:
        named = _coco_rows(content, file)
    elif "data" in keys:
        named = _textcaps_rows(content["data"], file)
    else:
        raise DataError(
            f'{file} has the form neither of COCO captions ("images" and "annotations") nor of TextCaps ("data"); '
            f"it has {', '.join(sorted(keys)) or type(content).__name__}"
        )

    def place(name: str) -> Path:
        whole = file_in(root, name)  # TextCaps' paths name a folder that its archive does not have
        return whole if whole.is_file() else root / Path(name.replace("\\", "/")).name

    return resolve(named, place, options, str(file))


def _coco_rows(content: Mapping[str, Any], file: Path) -> list[tuple[str, Sequence[str], str | None]]:
    images = _checked(content["images"], ("id", "file_name"), file, "COCO", "images")
    names = {image["id"]: image["file_name"] for image in images}
    rows = _checked(content["annotations"], ("image_id", "caption"), file, "COCO", "annotations")
    unknown = [row["image_id"] for row in rows if row["image_id"] not in names]
    if unknown:
        raise DataError(f"{file}: {len(unknown)} annotations are of images it does not list, such as {unknown[0]}")
    return [(names[row["image_id"]], [row["caption"]], mode_of(row, MODE_COLUMN)) for row in rows]


def _textcaps_rows(entries: Any, file: Path) -> list[tuple[str, Sequence[str], str | None]]:
    rows = _checked(entries, ("image_id", "caption_str"), file, "TextCaps", "data")
    return [
        (
            row.get("image_path") or f"{row['image_id']}.jpg",
            texts_of(row, ("caption_str", "reference_strs"), f"{file}, image {row['image_id']}"),
            mode_of(row, MODE_COLUMN),
        )
        for row in rows
    ]


def _paths(options: DataOptions) -> tuple[Path, Path]:
    file = existing(options.path, f"{options.kind} file")
    if file.is_dir():
        raise DataError(f"{file} is a folder: path is the file that holds the captions, media the folder of the media")
    return file, existing(options.media, "media folder") if options.media else file.parent


def _checked(rows: Any, keys: Sequence[str], file: Path, what: str, where: str = "rows") -> Sequence[Row]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{file} is no {what}: its {where} are not a list of objects")
    for number, row in enumerate(rows, 1):
        lacking = [key for key in keys if row.get(key) is None]
        if lacking:
            raise DataError(f"{file} is no {what}: no {lacking[0]} in number {number} of its {where}")
    return rows
