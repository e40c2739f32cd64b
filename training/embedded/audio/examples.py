"""The page's example clips, mixed from the committed pack; half use recordings held out from training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from lora_mcl.log_mel_picture import log_mel_webp
from training.embedded.audio.material.assets import Material
from training.embedded.audio.material.recordings import PACK_DIR
from training.embedded.audio.render.clips import draw, material_split
from training.embedded.audio.render.dsp import RATE
from training.embedded.audio.whisper import log_mel_extractor

# Of a thumbnail, in columns.
WIDTH = 320
CREDIT = "Mixed for this demo from the recordings listed in assets/packs/audio (CC BY, CC0, MIT)"


@dataclass(frozen=True)
class ExampleClip:
    """Clip number ``number`` of a split (``test``: recordings held out from training), mixed from the pack.

    ``alt`` describes it for people who cannot hear it.
    """

    title: str
    alt: str
    split: str
    number: int


EXAMPLES: tuple[ExampleClip, ...] = (
    ExampleClip("Helicopter in the rain", "A helicopter flies by while rain falls", "seen", 20405),
    ExampleClip("Steam in the wind", "Steam hisses while wind blows", "test", 20218),
    ExampleClip("Banjo by the fire", "A banjo plays a fast tune while a fire crackles", "seen", 20076),
    ExampleClip("Rooster in the wind", "A rooster crows twice while wind blows", "test", 20007),
    ExampleClip("French in a workshop", "A woman speaks French while machines hum", "seen", 20102),
    ExampleClip("Songbird", "A songbird sings", "test", 20191),
    ExampleClip("Music box in the woods", "A music box plays a slow tune while birds chirp", "seen", 20024),
    ExampleClip("Applause in the wind", "People applaud while wind blows", "test", 20307),
    ExampleClip("A tune, then French", "A guitar plays a slow tune, then a woman speaks French", "seen", 20049),
    ExampleClip("Drums", "Drums play", "test", 20209),
)


def write(example: ExampleClip, material: Material, folder: Path) -> dict[str, str]:
    """Mix one example into ``folder`` as FLAC, with its log-mel picture, and return its entry of ``examples.json``."""
    stem = example.title.lower().replace(" ", "-").replace(",", "")
    _, clip = draw(example.split, example.number, material)
    soundfile.write(folder / f"{stem}.flac", clip.samples, RATE, subtype="PCM_16")
    samples, _ = soundfile.read(folder / f"{stem}.flac", dtype="float32")
    (folder / f"{stem}.webp").write_bytes(thumbnail(samples))
    titles = {"title": example.title, "alt": example.alt, "credit": CREDIT}
    return {"file": f"{stem}.flac", **titles, "thumbnail": f"{stem}.webp"}


def thumbnail(samples: np.ndarray) -> bytes:
    """The log-mel picture of a clip [N], as the model gets it."""
    features = log_mel_extractor()(samples, sampling_rate=RATE, return_attention_mask=True, return_tensors="np")
    return log_mel_webp(features["input_features"][0][:, features["attention_mask"][0].astype(bool)], WIDTH)


def write_examples(folder: Path) -> list[dict[str, str]]:
    """Write all of them into ``folder`` and return their entries."""
    material = {split: Material(split, PACK_DIR) for split in ("train", "test")}
    return [write(example, material[material_split(example.split)], folder) for example in EXAMPLES]
