"""Input files: what is checked before any decoder sees them."""

import re
from pathlib import Path

from lora_mcl.errors import MediaError

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # Path joins the two slashes


def check_file(path: Path) -> None:
    """Refuse what is not a file with content.

    Raises:
        MediaError: it is an address, a folder, missing or empty.
    """
    if path.is_dir():
        raise MediaError(f"{path} is a folder: give a file.")
    if not path.is_file():
        if _ADDRESS.match(str(path)):
            raise MediaError(f"{path} is an address, and files are not fetched from the network: download it first.")
        raise MediaError(f"There is no file {path}.")
    if path.stat().st_size == 0:
        raise MediaError(f"{path.name} is empty: choose another file.")
