"""Folders of generated pictures and sounds with captions."""

from pathlib import Path

import soundfile
from PIL import Image

from tests.support.tiny_audio import SAMPLING_RATE, tone

COLOURS = {"red": "rouge", "blue": "bleu", "green": "vert"}


def picture_folder(folder: Path, count: int) -> Path:
    """``count`` plain pictures, each with an English and a French caption of its colour."""
    folder.mkdir(parents=True)
    for n in range(count):
        english, french = list(COLOURS.items())[n % len(COLOURS)]
        image = Image.new("RGB", (40 + n, 36), english)
        image.putpixel((0, 0), (255, 255, 255))  # a picture of one colour throughout is refused
        image.save(folder / f"{n:03}.png")
        (folder / f"{n:03}.txt").write_text(f"A {english} apple.\nUne pomme {french}.\n", encoding="utf-8")
    return folder


def sound_folder(folder: Path, count: int) -> Path:
    """``count`` tones, captioned by their pitch."""
    folder.mkdir(parents=True)
    for n in range(count):
        seconds = 0.4 + 0.05 * (n % 4)
        soundfile.write(folder / f"{n:03}.wav", tone(200 * (1 + n % 3), seconds), SAMPLING_RATE)
        (folder / f"{n:03}.txt").write_text(f"A dog barks {n % 3}.\nUn chien aboie.\n", encoding="utf-8")
    return folder


def touch(folder: Path, *names: str) -> None:
    """Write files of these names that are no media: for tests that decode nothing."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"never decoded here")
