"""A folder of media files with captions beside them: ``dog.jpg`` and ``dog.txt``, or a table in the folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lora_mcl.modality import Modality
from training.data.example import ENDINGS, DataError, Example, existing, group_captions
from training.data.options import DataOptions
from training.data.readers.table import read_table

logger = logging.getLogger(__name__)

TABLES = tuple(f"{name}{ending}" for name in ("captions", "metadata") for ending in (".csv", ".tsv", ".jsonl"))


def read_folder(options: DataOptions) -> list[Example]:
    """Read all media of the folder, and of those in it, that have captions.

    Raises:
        DataError: there is no such folder, or it holds no captioned media of one modality.
    """
    folder = existing(options.path, "folder")
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; for a CSV or JSONL file set kind to table")
    tables = [folder / name for name in TABLES if (folder / name).is_file()]
    if len(tables) > 1:
        raise DataError(f"{folder} holds {' and '.join(table.name for table in tables)}: keep one of them")
    if tables:
        return read_table(replace(options, kind="table", path=str(tables[0]), media=options.media or str(folder)))
    for name in ("media_column", "caption_columns", "mode_column"):
        if getattr(options, name):
            raise DataError(f"{name} is set, but {folder} holds no table ({', '.join(TABLES)})")
    files = media_files(existing(options.media, "media folder") if options.media else folder, options.modality)
    root = Path(options.media).expanduser() if options.media else folder
    texts = {file: folder / file.relative_to(root).with_suffix(".txt") for file in files}
    silent = [file for file in files if not texts[file].is_file()]
    if len(silent) == len(files):
        raise DataError(
            f"None of the {len(files)} files in {folder} has captions: put them in a text file of the same name "
            f"({texts[files[0]].name} for {files[0].name}), one a line, or in {folder / TABLES[0]}"
        )
    if silent:
        some = ", ".join(file.name for file in silent[:3])
        logger.warning("%s: %d files have no text file and are left out: %s", folder, len(silent), some)
    rows = [(file, lines_of(texts[file]), None) for file in files if texts[file].is_file()]
    return group_captions(rows[: options.limit or None], str(folder))


def media_files(folder: Path, modality: Modality | None) -> list[Path]:
    """All files of one kind in a folder and those in it, sorted; hidden ones left out.

    Raises:
        DataError: there are none, or of both kinds and ``modality`` does not say which.
    """
    hidden = (
        path for path in folder.rglob("*") if any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    files = sorted(set(folder.rglob("*")) - set(hidden))
    found = {kind: [file for file in files if file.suffix.lower() in endings] for kind, endings in ENDINGS.items()}
    if modality is None and found["image"] and found["audio"]:
        raise DataError(
            f"{folder} holds {len(found['image'])} images and {len(found['audio'])} sounds: set modality to one of them"
        )
    chosen = found[modality] if modality else found["image"] or found["audio"]
    if not chosen:
        kinds: Sequence[Modality] = [modality] if modality else list(ENDINGS)
        endings = ", ".join(sorted(ending for kind in kinds for ending in ENDINGS[kind]))
        raise DataError(f"{folder} holds no {' or '.join(kinds)} files ({endings})")
    return chosen


def lines_of(file: Path) -> list[str]:
    """A text file's lines.

    Raises:
        DataError: it is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text: save it as UTF-8") from error
