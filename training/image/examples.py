"""Make the example pictures of the page: composed scenes and real photographs.

    python -m training.image.examples

Everything comes from the committed pack, and from its test half: the model saw neither these drawings nor these
photographs. Writes ``assets/examples/image/`` with its ``examples.json``.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from training.image.lexicon import load_lexicon
from training.image.material import PACK_DIR, Material
from training.image.photos import load_real
from training.image.render import render
from training.image.scene import Scene, Thing

EXAMPLES_DIR = Path(__file__).resolve().parents[2] / "assets" / "examples" / "image"
SHORT_SIDE = 480
ASPECTS = ((4 / 3, 1.0),)
COMPOSED_CREDIT = "Composed for this demo from the pieces listed in assets/packs/image (MIT, Apache-2.0, CC BY, CC0)"


@dataclass(frozen=True)
class Composed:
    """A scene to paint, and the seed it looks well with."""

    title: str
    alt: str
    scene: Scene
    seed: int


@dataclass(frozen=True)
class Photograph:
    """A real test photograph, by its id in real.csv."""

    title: str
    alt: str
    id: str


EXAMPLES: tuple[Composed | Photograph, ...] = (
    Composed(
        "Zebra and tractor",
        "A zebra on the left and a tractor on the right, in a forest",
        Scene("forest", (Thing("zebra", slot="left"), Thing("tractor", slot="right"))),
        1,
    ),
    Photograph("Cat", "Close-up of a ginger cat", "chelsea"),
    Composed(
        "Popcorn under the aurora",
        "Two buckets of popcorn and a penguin under northern lights",
        Scene("aurora", (Thing("popcorn", 2, slot="left"), Thing("penguin", slot="right"))),
        2,
    ),
    Composed(
        "Rockets and bicycle",
        "Two rockets on the left and a bicycle on the right, before a white wall",
        Scene("white_wall", (Thing("rocket", 2, slot="left"), Thing("bicycle", slot="right"))),
        3,
    ),
    Photograph("Coffee", "A cup of coffee with a spoon on its saucer", "coffee"),
    Composed(
        "Foxes at sunset",
        "Three foxes at sunset",
        Scene("sunset", (Thing("fox", 3),)),
        4,
    ),
    Composed(
        "Umbrella and bananas",
        "An umbrella and two bananas in a garden",
        Scene("garden", (Thing("umbrella", slot="left"), Thing("banana", 2, slot="right"))),
        5,
    ),
    Photograph("Owl", "An owl", "owl"),
    Composed(
        "Whale by the windmill",
        "Two pumpkins, a whale and a fox in front of a windmill",
        Scene(
            "windmill",
            (Thing("pumpkin", 2, slot="left"), Thing("whale", slot="middle"), Thing("fox", slot="right")),
        ),
        6,
    ),
    Composed(
        "Camel in the classroom",
        "A camel in front of a blackboard",
        Scene("blackboard", (Thing("camel", slot="middle", size="large"),)),
        7,
    ),
)


def paint(composed: Composed, material: Material) -> Image.Image:
    """The composed scene, always the same."""
    rng = random.Random(composed.seed)
    lexicon = load_lexicon()
    return render(
        composed.scene,
        material.background(composed.scene.place, rng),
        lambda concept: material.sprite(concept, rng),
        lambda concept: lexicon[concept].size,
        rng,
        aspects=ASPECTS,
        short_side=SHORT_SIDE,
    )


def main() -> None:
    EXAMPLES_DIR.mkdir(parents=True, exist_ok=True)
    material = Material("test", PACK_DIR)
    photographs = {photo.source.id: photo for photo in load_real() if photo.source.commit}
    entries = []
    for example in EXAMPLES:
        name = example.title.lower().replace(" ", "-") + ".jpg"
        if isinstance(example, Composed):
            image, credit = paint(example, material), COMPOSED_CREDIT
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
