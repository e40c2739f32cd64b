"""Checks of input files before they are decoded."""

import re
from pathlib import Path

from lora_mcl.errors import MediaError
from lora_mcl.phrases import Phrase

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # Path joins the two slashes


def is_folder(path: Path) -> bool:
    """Whether there is a folder of this name; a name that is too long is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def check_file(path: Path) -> None:
    """Refuse what is not a file with content.

    Raises:
        MediaError: it is an address, a folder, missing or empty.
    """
    if is_folder(path):
        raise MediaError(Phrase("{path} is a folder: give a file.", path=path))
    try:
        is_file = path.is_file()
    except OSError as error:
        raise MediaError(
            Phrase(
                "{name} cannot be opened: {reason}.",
                name=path.name,
                reason=error.strerror or error,
            )
        ) from None
    if not is_file:
        if _ADDRESS.match(str(path)):
            raise MediaError(
                Phrase(
                    "{path} is an address, and files are not fetched from the network: download it first.",
                    path=_ADDRESS.sub(r"\g<0>/", str(path), count=1),
                )
            )
        raise MediaError(Phrase("There is no file {path}.", path=path))
    if path.stat().st_size == 0:
        raise MediaError(Phrase("{name} is empty: choose another file.", name=path.name))
