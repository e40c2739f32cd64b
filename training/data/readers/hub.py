"""Hugging Face datasets with an image or an audio column, from the Hub or from a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_mcl.errors import OptionsError
from lora_mcl.modality import Modality
from training.data.example import DataError, Example, group_captions
from training.data.options import DataOptions
from training.data.readers.cells import CellMedia
from training.data.readers.table import chosen_columns, mode_of, texts_of

if TYPE_CHECKING:
    from datasets import Dataset

# What `Dataset.save_to_disk` leaves.
_SAVED = ("state.json", "dataset_dict.json")


def read_hub(options: DataOptions) -> list[Example]:
    """Read one split of a dataset; the media column is found by its type, captions by the usual names.

    Raises:
        DataError: the dataset cannot be loaded, has no such split, or not the columns.
        OptionsError: the package ``datasets`` is not installed.
    """
    rows = _load(options)
    column, kind = _media_column(rows, options)
    rows = rows.cast_column(column, kind(decode=False))
    # Without the media, a row is a few words: all of them are read at once.
    texts = rows.remove_columns(column)
    where = f"{options.path} ({options.split})"
    _, captions, mode = chosen_columns(options, [column, *texts.column_names], where, media=column)
    number = min(len(rows), options.limit or len(rows))
    named = [
        (CellMedia(where, index, column, rows), texts_of(row, captions, f"{where}, row {index}"), mode_of(row, mode))
        for index, row in enumerate(texts.select(range(number)))
    ]
    return group_captions(named, where)


def _load(options: DataOptions) -> Dataset:
    try:
        import datasets
    except ImportError as error:
        raise OptionsError("kind hub needs the package datasets: pip install datasets") from error
    folder = Path(options.path).expanduser()
    try:
        if any((folder / name).is_file() for name in _SAVED):
            loaded: Any = datasets.load_from_disk(str(folder))
            if isinstance(loaded, datasets.DatasetDict):
                if options.split not in loaded:
                    raise DataError(f"{folder} has no split {options.split!r}; it has {', '.join(loaded)}")
                loaded = loaded[options.split]
            return loaded
        return datasets.load_dataset(
            str(folder) if folder.is_dir() else options.path,
            options.subset or None,
            split=options.split,
            revision=options.revision or None,
        )
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"The dataset {options.path} cannot be loaded: {str(error).strip()}") from error


def _media_column(rows: Dataset, options: DataOptions) -> tuple[str, Any]:
    """The column of media, and its type."""
    import datasets

    kinds: dict[Modality, Any] = {"image": datasets.Image, "audio": datasets.Audio}
    wanted = tuple(kinds.values()) if options.modality is None else (kinds[options.modality],)
    found = [name for name, feature in rows.features.items() if isinstance(feature, wanted)]
    if options.media_column:
        found = [name for name in found if name == options.media_column]
    if len(found) != 1:
        there = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in rows.features.items())
        what = f"{len(found)} columns" if found else "no column"
        raise DataError(
            f"{options.path} has {what} of type {' or '.join(kind.__name__ for kind in wanted)}; it has {there}: name "
            "one with media_column"
        )
    return found[0], type(rows.features[found[0]])
