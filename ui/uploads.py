"""Files that visitors and API clients send: where they are on the server, and copies that every browser can show."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import numpy as np
import soundfile

from lora_mcl.audio import read_audio, read_blocks
from lora_mcl.errors import MediaError
from lora_mcl.images import image_format, read_image
from lora_mcl.phrases import Phrase
from ui.modality import IMAGE, ModalityText

MAX_FILE_SIZE = 40 * 2**20
"""Largest upload, in bytes."""

# What every current browser shows or plays; by content; the file's name does not matter.
_BROWSER_PICTURES = {"JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"}
_BROWSER_SOUNDS = {("WAV", "PCM_U8"), ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT")}
_BROWSER_SOUNDS |= {("WAVEX", "PCM_16"), ("WAVEX", "PCM_24"), ("WAVEX", "FLOAT")}
_BROWSER_SOUNDS |= {("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("MP3", "MPEG_LAYER_III")}
# Sampling rate of copies, at most, in Hz: what a sound card plays.
_COPY_RATE = 48_000

# The server decides what a file is, by its content. Gradio's components would refuse by the MIME type that the browser
# derives from the file's extension, so files get a type that they accept.
_RETYPE_JS = """
// On the tab, because the media component may be drawn later, and again for each file.
const tab = element.closest('[role=tabpanel]');
const inMedia = (target) => target.closest('.media-input');
const isChooser = (target) => target.matches('input[type=file]') && inMedia(target);
const retyped = (files) => {
  const transfer = new DataTransfer();
  for (const file of files) transfer.items.add(new File([file], file.name, {type: 'MODALITY/*'}));
  return transfer;
};
tab.addEventListener('click', ({target}) => { if (isChooser(target)) target.removeAttribute('accept'); }, true);
tab.addEventListener('change', ({target}) => {
  if (isChooser(target) && target.files.length) target.files = retyped(target.files).files;
}, true);
// A picture that the browser cannot show, such as a file that is none, leaves no broken-image mark.
tab.addEventListener('error', ({target}) => { if (inMedia(target)) target.style.visibility = 'hidden'; }, true);
tab.addEventListener('load', ({target}) => { if (inMedia(target)) target.style.visibility = ''; }, true);
tab.addEventListener('drop', (event) => {
  if (!event.isTrusted || !inMedia(event.target) || !event.dataTransfer.files.length) return;
  event.preventDefault();
  event.stopPropagation();
  const options = {bubbles: true, cancelable: true, dataTransfer: retyped(event.dataTransfer.files)};
  event.target.dispatchEvent(new DragEvent('drop', options));
}, true);
"""


def retype_js(modality: ModalityText) -> str:
    """Script for an HTML component of the tab: its media component then takes files of every type and extension."""
    return _RETYPE_JS.replace("MODALITY", modality.name)


@contextmanager
def uploaded_file(media: Any, modality: ModalityText, folder: str | Path) -> Iterator[Path]:
    """Path of an upload, while it is in use.

    Args:
        media: what Gradio's component or an API client sends, which is untrusted and may be anything: a dictionary
            with the ``path`` of an uploaded file, or with the file itself as ``url`` (``data:...;base64,...``); or
            that alone.
        folder: where Gradio keeps uploads; no other file is used.

    Raises:
        MediaError: there is no upload, or it is too large.
    """
    if isinstance(media, str) and media.startswith("data:"):
        media = {"url": media}
    if not isinstance(media, dict):
        raise MediaError(modality.missing)
    path, url = media.get("path"), media.get("url")
    if isinstance(path, str) and path:
        file = Path(path).resolve()
        if not file.is_relative_to(Path(folder).resolve()):
            raise MediaError(
                Phrase(
                    "{name} was not uploaded: upload the {noun} and send the path you get.",
                    name=file.name,
                    noun=Phrase(modality.noun),
                )
            )
        yield file
    elif isinstance(url, str) and url.startswith("data:"):
        with TemporaryDirectory(dir=folder) as scratch:
            file = Path(scratch) / modality.noun
            file.write_bytes(_decoded(url, modality))
            yield file
    elif isinstance(url, str) and url:
        raise MediaError(
            Phrase(
                "Addresses are not fetched from here: upload the {noun}, or send it as data:...;base64,...",
                noun=Phrase(modality.noun),
            )
        )
    else:
        raise MediaError(modality.missing)


def _decoded(url: str, modality: ModalityText) -> bytes:
    """Content of a ``data:...;base64,...`` URL."""
    if len(url) > MAX_FILE_SIZE * 4 / 3 + 1000:
        raise MediaError(
            Phrase(
                "The {noun} is too large: at most {most} MB.",
                noun=Phrase(modality.noun),
                most=MAX_FILE_SIZE // 2**20,
            )
        )
    head, comma, content = url.partition(",")
    try:
        if not comma or not head.endswith(";base64"):
            raise ValueError
        return base64.b64decode(content, validate=True)
    except (ValueError, binascii.Error):
        raise MediaError(
            Phrase(
                "The {noun} is not base64: send it as data:...;base64,...",
                noun=Phrase(modality.noun),
            )
        ) from None


def browser_copy(file: Path, modality: ModalityText, folder: str | Path) -> tuple[Path | None, tuple[str, ...]]:
    """A copy that every browser can show, with the same pixels or samples; None if the file itself can be shown.

    Args:
        folder: where the copy goes, in a folder of its own.

    Returns:
        The copy, and notices about how the file was read, which reading the copy would not give.

    Raises:
        MediaError: the file cannot be read.
    """
    return _picture_copy(file, folder) if modality == IMAGE else _sound_copy(file, folder)


def _picture_copy(file: Path, folder: str | Path) -> tuple[Path | None, tuple[str, ...]]:
    picture, notices = read_image(file)
    # What was guessed about a picture is not what a browser would make of it: 12 bits stored as 16 look black there.
    if image_format(file) in _BROWSER_PICTURES and not notices:
        return None, ()
    copy = Path(mkdtemp(dir=folder)) / f"{file.name}.png"
    picture.save(copy, compress_level=1)
    return copy, notices


def _sound_copy(file: Path, folder: str | Path) -> tuple[Path | None, tuple[str, ...]]:
    try:
        info = soundfile.info(file)
        if (info.format, info.subtype) in _BROWSER_SOUNDS:
            return None, ()
    except soundfile.SoundFileError:
        pass
    blocks = read_blocks(file)
    rate = min(next(blocks)[0], _COPY_RATE)
    blocks.close()
    samples, notices = read_audio(file, rate)
    copy = Path(mkdtemp(dir=folder)) / f"{file.name}.flac"
    # 24 bits, so that the model gets the same from the copy as from the file.
    soundfile.write(copy, np.clip(samples, -1, 1), rate, subtype="PCM_24")
    return copy, notices
