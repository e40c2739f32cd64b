"""The files of a batch: uploads, and what is in zip archives among them, within bounds."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from lora_mcl.batch import BatchFile
from lora_mcl.errors import MediaError, printable
from lora_mcl.phrases import Phrase
from ui.modality import ModalityText
from ui.uploads import MAX_FILE_SIZE, uploaded_file

MAX_FILES = 50
"""Most files of one batch."""

MAX_UNPACKED = 400 * 2**20
"""Most bytes that an archive may hold unpacked, counted while they are unpacked."""

FILES = ModalityText(
    name="batch",
    tab="Batch",
    noun="file",
    article="a file",
    waiting="",
    missing=Phrase("Choose files first: pictures, sounds, or a zip of them."),
    own="Files",
    together="",
)

_ZIP = b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
# An archive may list more than is used, such as folders and thumbnails, but its list is read whole.
_MAX_LISTED = 2_000
_BLOCK = 2**20
_ODD = re.compile(r"[^\w. -]")
_LONGEST_NAME = 80
_MEGABYTE = 2**20


@contextmanager
def batch_files(uploads: Any, folder: str | Path) -> Iterator[list[BatchFile]]:
    """The files of the uploads, in their order, while they are in use; archives are unpacked.

    Args:
        uploads: what Gradio's component or an API client sends, untrusted: a list of files, or one of them.
        folder: where Gradio keeps uploads; no other file is used.

    Raises:
        MediaError: there is no file, there are more than ``MAX_FILES``, or an archive cannot be used.
    """
    uploads = uploads if isinstance(uploads, list) else [uploads] if uploads else []
    if not uploads:
        raise MediaError(FILES.missing)
    if len(uploads) > MAX_FILES:
        raise MediaError(_too_many(str(len(uploads))))
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory(dir=folder)))
        files: list[BatchFile] = []
        for upload in uploads:
            path = stack.enter_context(uploaded_file(upload, FILES, folder))
            name = _name(upload, path)
            if _is_zip(path):
                files += _unpacked(path, name, scratch, len(files))
            else:
                files.append(BatchFile(name, path))
        if len(files) > MAX_FILES:
            raise MediaError(_too_many(str(len(files))))
        yield files


def _name(upload: Any, path: Path) -> str:
    name = upload.get("orig_name") if isinstance(upload, dict) else None
    return printable(name if isinstance(name, str) and name else path.name)


def _too_many(count: str) -> str:
    return Phrase(
        "There are {count} files, and a batch has at most {most}: send them in several batches.",
        count=count,
        most=MAX_FILES,
    )


def _is_zip(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) in (_ZIP, _EMPTY_ZIP)
    except OSError:
        return False


def _unpacked(path: Path, name: str, scratch: Path, already: int) -> list[BatchFile]:
    """The files in an archive, each unpacked into a numbered folder under a name of harmless characters."""
    try:
        with zipfile.ZipFile(path) as archive:
            listed = archive.infolist()
            if len(listed) > _MAX_LISTED:
                raise MediaError(_too_many(f"{len(listed):,}"))
            entries = [entry for entry in listed if _is_wanted(entry)]
            if not entries:
                raise MediaError(Phrase("{name} holds no files: put pictures or sounds into it.", name=name))
            if already + len(entries) > MAX_FILES:
                raise MediaError(_too_many(str(already + len(entries))))
            files, left = [], MAX_UNPACKED
            for number, entry in enumerate(entries, start=already):
                target = scratch / f"{number}" / _harmless(entry.filename)
                target.parent.mkdir()
                error, size = _extract(archive, entry, target, left)
                left -= size
                if left <= 0:
                    raise MediaError(
                        Phrase(
                            "{name} is too large unpacked: at most {most} MB.",
                            name=name,
                            most=MAX_UNPACKED // _MEGABYTE,
                        )
                    )
                files.append(BatchFile(printable(entry.filename), target, error))
            return files
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, UnicodeError):
        raise MediaError(Phrase("{name} is a damaged zip archive: pack it again and retry.", name=name)) from None


def _is_wanted(entry: zipfile.ZipInfo) -> bool:
    """Whether it is a file that a visitor put there, not a folder or what a system adds."""
    parts = PurePosixPath(entry.filename).parts
    return (
        not entry.is_dir() and "__MACOSX" not in parts and not any(part.strip(".") and part[0] == "." for part in parts)
    )


def _harmless(name: str) -> str:
    """The last part of a name in an archive, for messages; never ``.`` or ``..``."""
    return _ODD.sub("_", PurePosixPath(name).name)[-_LONGEST_NAME:].lstrip(".") or "file"


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, left: int) -> tuple[str, int]:
    """Write one file; returns why it cannot be used, and how many bytes were unpacked.

    The sizes in an archive's list may be wrong: what counts is what comes out.
    """
    limit, size = min(MAX_FILE_SIZE, left), 0
    try:
        with archive.open(entry) as packed, target.open("wb") as file:
            while block := packed.read(_BLOCK):
                size += len(block)
                if size > limit:
                    return Phrase("This file is too large: at most {most} MB.", most=MAX_FILE_SIZE // _MEGABYTE), size
                file.write(block)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError):
        # RuntimeError: it is encrypted, and no password is asked for.
        if entry.flag_bits & 1:
            return Phrase("This file is encrypted: pack it without a password."), size
        return Phrase("This file is damaged in the archive: pack it again and retry."), size
    return "", size
