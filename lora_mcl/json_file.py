"""Reading JSON files that this program did not write: depth and errors are checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_json(file: Path) -> Any:
    """Contents of a JSON file.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be opened.
        ValueError: it is no plain file, no UTF-8, no JSON, nested too deeply or holds a number that is too long.
    """
    if file.exists() and not file.is_file():
        # Reading a pipe would wait for ever.
        raise ValueError("it is not a plain file")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
