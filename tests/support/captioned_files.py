"""Folders of generated pictures and sounds with captions, and configurations that train tiny models on them."""

from pathlib import Path

import soundfile
from PIL import Image

from tests.support.tiny_audio import SAMPLING_RATE, tone
from training.run.config import read_section
from training.run.options import TrainConfig

COLOURS = {"red": "rouge", "blue": "bleu", "green": "vert"}


def picture_folder(folder: Path, count: int) -> Path:
    """``count`` plain pictures, each with an English and a French caption of its colour."""
    folder.mkdir(parents=True)
    for n in range(count):
        english, french = list(COLOURS.items())[n % len(COLOURS)]
        Image.new("RGB", (40 + n, 36), english).save(folder / f"{n:03}.png")
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


def settings(output: Path, base: Path, media: Path, modality: str = "image", **sections) -> dict:
    """What a YAML file of a short run would hold; ``sections`` change single keys."""
    table = {
        "output": str(output),
        "model": {"base": str(base), "modality": modality, "prompt": "Describe.", "dtype": "float32"},
        "adapters": {"hypotheses": 2, "rank": 2, "alpha": 4},
        "data": {"kind": "folder", "path": str(media), "validation_share": 0.1, "workers": 0},
        "training": {
            "learning_rate": 1e-2,
            "steps": 6,
            "batch_size": 2,
            "precision": "float32",
            "checkpoint_activations": False,
            "log_every": 2,
            "evaluate_every": 3,
            "save_every": 2,
        },
    }
    for name, changes in sections.items():
        table[name] = table.get(name, {}) | changes
    return table


def config(*args, **sections) -> TrainConfig:
    return read_section(TrainConfig, settings(*args, **sections), "test")
