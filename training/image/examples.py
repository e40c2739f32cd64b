"""Make the example pictures of the page: composed scenes.

    python -m training.image.examples

Everything comes from the committed pack, and from its test half: the model saw neither these drawings nor these
photographs. Writes ``assets/examples/image/`` with its ``examples.json``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from training.image.features import draw
from training.image.material import PACK_DIR, Material

EXAMPLES_DIR = Path(__file__).resolve().parents[2] / "assets" / "examples" / "image"
SHORT_SIDE = 480
CREDIT = "Composed for this demo from the pieces listed in assets/packs/image (MIT, Apache-2.0, CC BY, CC0)"


@dataclass(frozen=True)
class Composed:
    """Test scene number ``seed``, as the committed pack paints it."""

    title: str
    alt: str
    seed: int


EXAMPLES: tuple[Composed, ...] = (
    Composed("Owls in Paris", "Two owls in front of the Eiffel Tower", 20049),
    Composed("Balloons at the pyramid", "Three red balloons and grapes in front of a pyramid", 20281),
    Composed("Snails and violin", "Two snails and a violin in a field at night", 20168),
    Composed("Train by the sea", "A white and blue train by the sea", 20057),
    Composed("Birthday cakes", "Three birthday cakes on a meadow in the mountains", 20250),
    Composed("Three frogs", "Three green frogs in a meadow", 20043),
    Composed("Tractor in town", "A green tractor in a town square", 20268),
    Composed("Rose and northern lights", "A red rose under the northern lights", 20162),
)
"""Most are scenes the model describes well; the results file tells how often that is so."""


def main() -> None:
    EXAMPLES_DIR.mkdir(parents=True, exist_ok=True)
    material = Material("test", PACK_DIR)
    entries = []
    for example in EXAMPLES:
        name = example.title.lower().replace(" ", "-") + ".jpg"
        draw("test", example.seed, material, SHORT_SIDE)[1].save(EXAMPLES_DIR / name, quality=90)
        entries.append({"file": name, "title": example.title, "alt": example.alt, "credit": CREDIT})
    listing = json.dumps(entries, indent=2, ensure_ascii=False)
    (EXAMPLES_DIR / "examples.json").write_text(listing + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
