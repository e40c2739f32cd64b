"""Media in the cells of a table: rows of a Hugging Face dataset or of a parquet file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lora_mcl.errors import MediaError, OptionsError
from training.data.example import DataError

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class CellMedia:
    """The media of a row, read when a batch is made.

    Attributes:
        source: the table's name.
        row: counted from 0.
        column: of the media; not decoded by ``rows``.
    """

    source: str
    row: int
    column: str
    rows: Dataset = field(compare=False, repr=False)

    @property
    def name(self) -> str:
        return f"{self.source}, row {self.row}"

    def read(self) -> bytes:
        """The encoded file in the cell, or the file that it names."""
        cell = self.rows[self.row][self.column] or {}
        if isinstance(cell, bytes):
            return cell
        if isinstance(cell, Mapping) and cell.get("bytes"):
            return cell["bytes"]
        if isinstance(cell, Mapping) and cell.get("path") and Path(cell["path"]).is_file():
            return Path(cell["path"]).read_bytes()
        raise MediaError(f"{self.name} holds no {self.column}.")


def load_parquet(file: Path) -> Dataset:
    """The rows of a parquet file, as it stores them: nothing is decoded.

    Raises:
        DataError: it cannot be read.
        OptionsError: the package ``datasets`` is not installed.
    """
    try:
        import pyarrow
        from datasets import Dataset
        from pyarrow import parquet
    except ImportError as error:
        raise OptionsError(f"{file}: parquet needs the package datasets: pip install datasets") from error
    try:
        table = parquet.read_table(file, memory_map=True)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{file} cannot be read as parquet: {str(error).strip()}") from error
    # Without its metadata, where datasets keeps the types of media, which it would decode.
    return Dataset(table.replace_schema_metadata(None))
