"""Make the example pictures of the page: composed scenes and real photographs.

    python -m training.embedded.image.examples

Everything comes from the committed pack, and from its test half: the model saw neither these drawings nor these
photographs. Writes ``assets/examples/image/`` with its ``examples.json``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from PIL import Image

from training.embedded.image.features import draw
from training.embedded.image.material.assets import PACK_DIR, Material
from training.embedded.image.material.photos import load_real
from training.paths import ASSETS

EXAMPLES_DIR = ASSETS / "examples" / "image"
SHORT_SIDE = 480
COMPOSED_CREDIT = "Composed for this demo from the pieces listed in assets/packs/image (MIT, Apache-2.0, CC BY, CC0)"


@dataclass(frozen=True)
class Composed:
    """Test scene number ``seed``, as the committed pack paints it."""

    title: str
    alt: str
    seed: int


@dataclass(frozen=True)
class Photograph:
    """A real test photograph, by its id in real.csv."""

    title: str
    alt: str
    id: str


EXAMPLES: tuple[Composed | Photograph, ...] = (
    Composed("Owls in Paris", "Two owls in front of the Eiffel Tower", 20049),
    Composed("Balloons at the pyramid", "Three red balloons and grapes in front of a pyramid", 20281),
    Photograph("Koala", "A koala among leaves", "koala"),
    Composed("Birthday cakes", "Three birthday cakes on a meadow in the mountains", 20250),
    Composed("Chick and chips", "A chick and a carton of chips in a bedroom", 20485),
    Photograph("Coffee", "A cup of coffee with a spoon on its saucer", "coffee"),
    Composed("Three crabs", "Three red crabs in a shopping mall", 20484),
    Composed("Tractor in the fog", "A green tractor in a foggy forest", 20476),
)
"""Most are scenes the model describes well; the results file tells how often that is so."""


def main() -> None:
    EXAMPLES_DIR.mkdir(parents=True, exist_ok=True)
    material = Material("test", PACK_DIR)
    photographs = {photo.source.id: photo for photo in load_real() if photo.source.commit}
    entries = []
    for example in EXAMPLES:
        name = example.title.lower().replace(" ", "-") + ".jpg"
        if isinstance(example, Composed):
            image, credit = draw("test", example.seed, material, SHORT_SIDE)[1], COMPOSED_CREDIT
        else:
            photo = photographs[example.id]
            image = Image.open(PACK_DIR / "real" / photo.file).convert("RGB")
            credit = f"{photo.source.author}, {photo.source.licence}"
        image.save(EXAMPLES_DIR / name, quality=90)
        entries.append({"file": name, "title": example.title, "alt": example.alt, "credit": credit})
    listing = json.dumps(entries, indent=2, ensure_ascii=False)
    (EXAMPLES_DIR / "examples.json").write_text(listing + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
