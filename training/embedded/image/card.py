"""The image cards' own passages; ``training.embedded.card`` writes those that both models have."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from lora_mcl.models import ImageTowerConfig
from training.embedded.common import tables
from training.embedded.common.tables import percent, table
from training.embedded.image.photograph_card import photograph_passages
from training.embedded.image.render.simulated_content import NEVER_BY_NAME
from training.embedded.image.world.lexicon import load_lexicon
from training.embedded.image.world.places import load_places
from training.paths import ASSETS, RESULTS

DRAWINGS = RESULTS / "drawings.json"

LABELS = {
    "en-objects": ("English, objects", "Counts and names what is there, in a few English words."),
    "en-place": ("English, place and relations", "Says in English where things are and how they stand."),
    "fr-place": ("French, place and relations", "Says in French where things are and how they stand."),
}
"""Of each annotator, the label and the description of the hypothesis that learns it."""
COLUMNS = {
    "recall": "objects: recall",
    "precision": "precision",
    "place_right": "place right",
    "count_right": "count right",
}
NEVER_NAMED = frozenset({("en-objects", "place_right")})


def has_detector() -> bool:
    """Whether the committed model's tower has its second part: the cards describe what is committed."""
    config = json.loads((ASSETS / "models" / "image" / "config.json").read_text(encoding="utf-8"))
    return config["vision_config"]["model_type"] == ImageTowerConfig.model_type


def counts() -> str:
    """How many things the committed model has words for, by what shows them to it."""
    roles = Counter(concept.role for concept in load_lexicon().values() if concept.id not in NEVER_BY_NAME)
    parts = [
        f"{roles['sprite']} things it was drawn or photographed for",
        f"{roles['tag']} more it can only name through its vision tower's ImageNet classes",
    ]
    if has_detector():
        parts += [
            f"{roles['detected']} more that only its detector finds in photographs",
            f'{roles["family"]} broader words ("an animal", "some food")',
        ]
    return f"{', '.join(parts)}, {len(load_places())} places."


def kinds(split: dict[str, Any]) -> str:
    """The best hypothesis by the number of kinds of things in a scene."""
    rows = [[str(r["kinds"]), str(r["scenes"]), percent(r["recall"]), percent(r["precision"])] for r in split["kinds"]]
    return table(["kinds of things", "scenes", "objects: recall", "precision"], rows)


def places(split: dict[str, Any]) -> str:
    """Whether some hypothesis has the place right, by how many photographs of it were trained on."""
    rows = [
        [row["photographs"], str(row["places"]), str(row["scenes"]), percent(row["place_right"])]
        for row in split["photographs_of_the_place"]
    ]
    return table(["training photographs of the place", "places", "scenes", "place right"], rows)


def probed(results: dict[str, Any]) -> str:
    """How well each of the tower's features distinguishes drawings, at the largest height probed."""
    report = results["heights"][max(results["heights"], key=float)]
    rows = [[name, percent(found["seen"]), percent(found["unseen"])] for name, found in report.items()]
    return table(["features", "new pictures of training drawings", "held-out drawings"], rows)


def drawings(results: dict[str, Any]) -> str:
    """Of how many views the classifier's patches are shown."""
    training, test = results["training"], results["test"]
    return (
        f"It takes {percent(test['composed'])} of the views of composed test scenes for drawings, and "
        f"{percent(test['photographs'])} of the {results['views_of_test_photographs']} views of real test photographs "
        f"(in training {percent(training['composed'])}, and {percent(training['photographs'])} of the photographs')."
    )


def passages(results: dict[str, Any], probe_results: dict[str, Any]) -> dict[str, str]:
    """The passages, by the name their markers carry after ``image_``."""
    best = results["test"]["generation"]["caption-gate"]["best"]
    labels = {mode: label for mode, (label, _) in LABELS.items()}
    return {
        "counts": counts(),
        "headline": f"On {results['test']['captioned']:,} test scenes the best hypothesis names "
        f"{percent(best['recall'])} of the objects with {percent(best['precision'])} precision; some hypothesis has "
        f"the place right in {percent(best['place_right'])} and the counts in {percent(best['count_right'])}.",
        "columns": tables.hypotheses(results["test"], COLUMNS | {"recall": "recall"}, labels, NEVER_NAMED),
        **photograph_passages(results, families=has_detector()),
        "kinds": kinds(results["test"]),
        "places": places(results["test"]),
        "probe": probed(probe_results),
        "drawings": drawings(json.loads(DRAWINGS.read_text(encoding="utf-8"))),
    }
