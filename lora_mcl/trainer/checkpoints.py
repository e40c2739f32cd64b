"""Atomic checkpoints, and finding the last complete one.

A checkpoint is written in a folder that no reader opens, flushed to the disk, and then renamed, which is atomic: a
run killed at any moment, also while it saves, finds its last complete checkpoint when it is started again.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open

logger = logging.getLogger(__name__)

UNFINISHED = "unfinished"
WEIGHTS_NAME = "model.safetensors"
STATE_NAME = "trainer_state.json"
_NAME = re.compile(r"checkpoint-(\d+)")


def checkpoint_steps(folder: Path) -> dict[int, Path]:
    """The checkpoints in a run's folder by their step, oldest first."""
    found = {}
    for path in folder.glob("checkpoint-*"):
        if (match := _NAME.fullmatch(path.name)) and path.is_dir():
            found[int(match[1])] = path
    return dict(sorted(found.items()))


def last_checkpoint(folder: str | Path) -> Path | None:
    """The newest checkpoint that can be read; newer ones that cannot are warned of and left alone."""
    for path in reversed(checkpoint_steps(Path(folder)).values()):
        if (problem := _problem(path)) is None:
            return path
        logger.warning("%s is passed over: %s", path, problem)
    return None


def _problem(checkpoint: Path) -> str | None:
    try:
        json.loads((checkpoint / STATE_NAME).read_text(encoding="utf-8"))
        with safe_open(checkpoint / WEIGHTS_NAME, "pt"):  # reads the header, which says how long the file is
            pass
    except (OSError, ValueError, SafetensorError) as error:
        return str(error)
    return None


def publish(unfinished: Path, final: Path) -> None:
    """Give a complete checkpoint its name; one that already has it is replaced."""
    for path in [*_files(unfinished), unfinished]:
        _flush(path)
    if final.exists():
        shutil.rmtree(final)
    os.replace(unfinished, final)
    _flush(final.parent)


def rotate(folder: Path, keep: int | None, best: int | None) -> None:
    """Delete the oldest checkpoints but ``keep``, and never that of step ``best``."""
    found = checkpoint_steps(folder)
    # Not below 0: a negative limit would count from the end and delete checkpoints while there are fewer than ``keep``.
    for step in list(found)[: max(0, len(found) - keep)] if keep else []:
        if step != best:
            shutil.rmtree(found[step])


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _flush(path: Path) -> None:
    """Wait until a file or folder is on the disk; folders cannot be opened on every system."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
