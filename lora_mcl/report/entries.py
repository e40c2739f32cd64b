"""One captioned file, the unit of every report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lora_mcl.types import ColumnSpec, CompareOptions, Comparison


@dataclass(frozen=True)
class CaptionedFile:
    """A file with its comparison, or with the sentence why it has none.

    Attributes:
        name: what the report calls the file.
        file: where it is.
        specs: the comparison's columns, with their descriptions, in the same order.
        options: how it was captioned.
        source: the bundle's folder or Hub id where one was named, to stand next to the bundle's name.
        error: the sentence for the user.

    Raises:
        ValueError: there is neither a comparison nor an error, or the columns are not the comparison's.
    """

    name: str
    file: Path
    comparison: Comparison | None = None
    specs: tuple[ColumnSpec, ...] = ()
    options: CompareOptions | None = None
    source: str = ""
    error: str = ""

    def __post_init__(self) -> None:
        if (self.comparison is None) != bool(self.error) or (self.comparison is None) != (self.options is None):
            raise ValueError("a captioned file has a comparison with its options, or else an error")
        columns = () if self.comparison is None else self.comparison.columns
        if [spec.id for spec in self.specs] != [column.id for column in columns]:
            raise ValueError("specs must describe the comparison's columns, in their order")
