"""Make the example clips of the page from the committed pack.

    python -m training.audio.examples

Clips are mixed from the pack alone; half are of recordings that the model never heard. Writes
``assets/examples/audio/`` with its ``examples.json``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import soundfile

from training.audio.clips import draw
from training.audio.material import Material
from training.audio.recordings import PACK_DIR
from training.audio.waves import RATE

EXAMPLES_DIR = Path(__file__).resolve().parents[2] / "assets" / "examples" / "audio"
CREDIT = "Mixed for this demo from the recordings listed in assets/packs/audio (CC BY, CC0, MIT)"


@dataclass(frozen=True)
class Example:
    """Clip number ``number`` of a split (``test``: recordings the model never heard), mixed from the pack.

    ``alt`` says what is heard, for people who cannot hear it.
    """

    title: str
    alt: str
    split: str
    number: int


EXAMPLES: tuple[Example, ...] = (
    Example("Rooster in the wind", "A rooster crows twice while wind blows", "test", 20007),
    Example("Phone in a crowd", "A phone rings three times while people chatter", "seen", 20033),
    Example("Dog", "A dog barks twice", "test", 20244),
    Example("Harp and birds", "A harp plays while birds chirp", "seen", 20075),
    Example("Horse and sheep", "A horse neighs twice, then a sheep bleats", "test", 20419),
    Example("Helicopter in the rain", "A helicopter flies by while rain falls", "seen", 20405),
    Example("Drums", "Drums play", "test", 20209),
    Example("Speech in French", "A woman speaks French", "seen", 20424),
    Example("Steam train", "Steam hisses, then a train passes, while wind blows", "test", 20619),
    Example("Siren", "A siren wails", "seen", 20490),
)


def write(example: Example, material: Material, folder: Path = EXAMPLES_DIR) -> dict[str, str]:
    """Mix one example into ``folder`` as FLAC and return its entry of ``examples.json``."""
    name = example.title.lower().replace(" ", "-").replace(",", "") + ".flac"
    _, clip = draw(example.split, example.number, material)
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / name, clip.wave, RATE, subtype="PCM_16")
    return {"file": name, "title": example.title, "alt": example.alt, "credit": CREDIT}


def main() -> None:
    material = {split: Material(split, PACK_DIR) for split in ("train", "test")}
    entries = [write(example, material["test" if example.split == "test" else "train"]) for example in EXAMPLES]
    listing = json.dumps(entries, indent=2, ensure_ascii=False)
    (EXAMPLES_DIR / "examples.json").write_text(listing + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
