"""The page's example pictures: composed scenes and real photographs.

Everything comes from the committed pack, and from its test half: the model saw neither these drawings nor these
photographs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from training.embedded.image.material.assets import PACK_DIR, Material
from training.embedded.image.material.photos import load_real
from training.embedded.image.render.pictures import draw

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
    Composed("Whale in the city", "A drawn glass of wine and a drawn whale on a city street", 20277),
    Composed("Northern lights", "A drawn ambulance under northern lights", 20231),
    Photograph("Astronaut", "An astronaut's portrait in front of a flag and a model of a shuttle", "astronaut"),
    Photograph("Cat", "A tabby cat that looks at the camera", "chelsea"),
    Photograph("Lizard", "A lizard on a branch", "chameleon"),
    Photograph("Coffee", "A cup of coffee on a red saucer", "coffee"),
    Photograph("Cameraman", "A man behind a camera on a tripod, in black and white", "camera"),
    Photograph("Hens (it fails)", "Four brown hens on a lawn", "gc_chickens"),
)
"""Most are pictures that the model describes well; the results file has how often that is so. The page opens
with the first. Of the whale and the cameraman the columns give different accounts, and the last is a picture that it
does not recognise."""


def write_examples(folder: Path) -> list[dict[str, str]]:
    """Write the pictures into ``folder`` and return their entries of ``examples.json``."""
    material = Material("test", PACK_DIR)
    photographs = {photo.source.id: photo for photo in load_real() if photo.source.commit}
    entries = []
    for example in EXAMPLES:
        name = re.sub("[^a-z]+", "-", example.title.lower()).strip("-") + ".jpg"
        if isinstance(example, Composed):
            image, credit = draw("test", example.seed, material, SHORT_SIDE)[1], COMPOSED_CREDIT
        else:
            photo = photographs[example.id]
            image = Image.open(PACK_DIR / "real" / photo.file).convert("RGB")
            credit = f"{photo.source.author}, {photo.source.licence}"
        image.save(folder / name, quality=90)
        entries.append({"file": name, "title": example.title, "alt": example.alt, "credit": credit})
    return entries
