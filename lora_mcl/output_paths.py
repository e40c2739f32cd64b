"""Checks of where results go, before anything is computed for them."""

import tempfile
from pathlib import Path

from lora_mcl.errors import OptionsError


def make_output_folder(folder: Path, option: str) -> None:
    """Make a folder for results, with those above it.

    Args:
        option: that names the folder, for the message.

    Raises:
        OptionsError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OptionsError(f"{option} {folder} cannot be written to: {error.strerror or error}") from error


def check_output_file(file: Path, option: str) -> None:
    """Make the folder of a file for results, with those above it.

    Args:
        option: that names the file, for the message.

    Raises:
        OptionsError: it is a folder, or its own cannot be made or written to.
    """
    if file.is_dir():
        raise OptionsError(f"{option} {file} is a folder: give a file")
    make_output_folder(file.parent, option)
