"""A folder of media files with captions in text files of the same names (``dog.jpg``, ``dog.txt``) or in a table."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lora_mcl.errors import MediaError
from lora_mcl.images import modality_of
from lora_mcl.modality import Modality
from training.data.example import ENDINGS, DataError, Example, existing, group_captions
from training.data.options import DataOptions
from training.data.readers.table import read_table

logger = logging.getLogger(__name__)

TABLES = tuple(
    f"{name}{ending}" for name in ("captions", "metadata") for ending in (".csv", ".tsv", ".jsonl", ".parquet")
)
TEXT_ENDINGS = (".txt", ".caption")
SPLITS = frozenset({"train", "training", "validation", "valid", "val", "dev", "eval", "test"})
"""Names of subfolders that are parts of a data set, where a folder holds nothing else."""


def read_folder(options: DataOptions) -> list[Example]:
    """Read all captioned media of the folder and its subfolders, or of the subfolder ``options.split``.

    Raises:
        DataError: there is no such folder, or it holds no captioned media of one modality.
    """
    folder = existing(options.path, "folder")
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; for a CSV or JSONL file set kind to table")
    folder = split_folder(folder, options.split)
    tables = [folder / name for name in TABLES if (folder / name).is_file()]
    if len(tables) > 1:
        raise DataError(f"{folder} holds {' and '.join(table.name for table in tables)}: keep one of them")
    if tables:
        return read_table(
            replace(
                options,
                kind="table",
                path=str(tables[0]),
                media=options.media or str(folder),
                split="train",
                validation_split="",
            )
        )
    for name in ("media_column", "caption_columns", "mode_column"):
        if getattr(options, name):
            raise DataError(f"{name} is set, but {folder} holds no table ({', '.join(TABLES)})")
    root = existing(options.media, "media folder") if options.media else folder
    files = media_files(root, folder, options.modality)
    captioned = {file: text for file in files if (text := text_file(file, root, folder))}
    if not captioned:
        raise DataError(
            f"None of the {len(files)} files in {folder} has captions: put them in a text file of the same name "
            f"({files[0].with_suffix('.txt').name} for {files[0].name}), one a line, or in {folder / TABLES[0]}"
        )
    if silent := [file for file in files if file not in captioned]:
        logger.warning("%s: %d files have no text file and are left out: %s", folder, len(silent), _names(silent))
    rows = [(file, lines_of(text), None) for file, text in captioned.items()]
    return group_captions(rows[: options.limit or None], str(folder))


def split_folder(folder: Path, split: str) -> Path:
    """The subfolder of a split, where a folder is divided into ``train``, ``test``, ...; else the folder itself.

    Raises:
        DataError: there is no such subfolder.
    """
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    is_divided = bool(inside) and all(path.is_dir() and path.name.lower() in SPLITS for path in inside)
    if not is_divided or not (folder / split).is_dir():
        if split != "train" or is_divided:
            there = ", ".join(sorted(path.name for path in inside if path.is_dir())) or "none"
            raise DataError(f"{folder} has no subfolder {split} (data.split); its subfolders are {there}")
        return folder
    others = sorted(path.name for path in inside if path.name != split)
    if others and split == "train":
        logger.warning(
            "%s: only the subfolder %s is read, not %s (validation_split validates on one)",
            folder,
            split,
            ", ".join(others),
        )
    return folder / split


def media_files(root: Path, folder: Path, modality: Modality | None) -> list[Path]:
    """All files of one modality in ``root`` and its subfolders, sorted; hidden ones left out.

    Files of an unknown ending count if they have captions in ``folder`` and their content is an image or a sound;
    those that are neither, and text files without media, are named in a warning.

    Raises:
        DataError: there are none, or of both modalities and ``modality`` does not say which.
    """
    visible = _visible_files(root)
    found: dict[Modality, list[Path]] = {"image": [], "audio": []}
    unknown = []
    for file in visible:
        kind = next((kind for kind, endings in ENDINGS.items() if file.suffix.lower() in endings), None)
        if kind is None and file.suffix.lower() not in TEXT_ENDINGS and text_file(file, root, folder):
            try:
                kind = modality_of(file)
            except MediaError as error:
                unknown.append(file)
                logger.warning("%s has captions, but is left out: %s", file, error)
        if kind is not None:
            found[kind].append(file)
    if modality is None and found["image"] and found["audio"]:
        raise DataError(
            f"{root} holds {len(found['image'])} images and {len(found['audio'])} sounds: set modality to one of them"
        )
    chosen = found[modality] if modality else found["image"] or found["audio"]
    if not chosen:
        kinds: Sequence[Modality] = [modality] if modality else list(ENDINGS)
        endings = ", ".join(sorted(ending for kind in kinds for ending in ENDINGS[kind]))
        raise DataError(f"{root} holds no {' or '.join(kinds)} files ({endings})")
    _warn_of_texts_alone(root, folder, [*found["image"], *found["audio"], *unknown])
    return chosen


def text_file(file: Path, root: Path, folder: Path) -> Path | None:
    """The file with the captions of a media file: of the same name, at the same place in ``folder``."""
    place = folder / file.relative_to(root)
    return next((text for ending in TEXT_ENDINGS if (text := place.with_suffix(ending)).is_file()), None)


def _visible_files(folder: Path) -> list[Path]:
    """All files in a folder and its subfolders, sorted, without hidden ones and those in hidden folders."""
    return sorted(
        path
        for path in folder.rglob("*")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts) and path.is_file()
    )


def _warn_of_texts_alone(root: Path, folder: Path, files: Sequence[Path]) -> None:
    captioned = {(folder / file.relative_to(root)).with_suffix("") for file in files}
    alone = [
        text
        for text in _visible_files(folder)
        if text.suffix.lower() in TEXT_ENDINGS and text.with_suffix("") not in captioned
    ]
    if alone:
        logger.warning("%s: %d text files have no media file: %s", folder, len(alone), _names(alone))


def _names(files: Sequence[Path]) -> str:
    return ", ".join(file.name for file in files[:3]) + (", ..." if len(files) > 3 else "")


def lines_of(file: Path) -> list[str]:
    """A text file's lines.

    Raises:
        DataError: it is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text: save it as UTF-8") from error
