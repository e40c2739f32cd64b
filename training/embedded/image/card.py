"""The image cards' own passages; ``training.embedded.card`` writes those that both models have."""

from __future__ import annotations

from typing import Any

from training.embedded.common import tables
from training.embedded.common.tables import percent, table
from training.embedded.image.world.lexicon import load_lexicon
from training.embedded.image.world.places import load_places

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


def photographs(results: dict[str, Any], *, right: bool, limit: int) -> str:
    """Some photographs that went well, or badly, in file order, with the hypotheses' captions."""
    main = results["test"]["likelihood"]["caption-gate"]["stability"]["main"]
    chosen = [e for e in results["photographs"]["entries"] if e["committed"] and (e["named"] == 1) == right]
    rows = [
        [
            f"`{entry['photograph']}`: {', '.join(entry['concepts']).replace('_', ' ')}",
            *(entry["captions"][f"caption-gate/{k}"][0] for k in main),
        ]
        for entry in chosen[:limit]
    ]
    return table(["photograph", *results["test"]["modes"]], rows)


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
    """Which of the tower's features tell drawings apart, at the largest height probed."""
    report = results["heights"][max(results["heights"], key=float)]
    rows = [[name, percent(found["seen"]), percent(found["unseen"])] for name, found in report.items()]
    return table(["features", "new pictures of training drawings", "held-out drawings"], rows)


def passages(results: dict[str, Any], probe_results: dict[str, Any]) -> dict[str, str]:
    """The passages, by the name their markers carry after ``image_``."""
    lexicon = load_lexicon().values()
    drawn = sum(concept.role == "sprite" for concept in lexicon)
    shots = results["photographs"]
    best = results["test"]["generation"]["caption-gate"]["best"]
    labels = {mode: label for mode, (label, _) in LABELS.items()}
    return {
        "counts": f"{drawn} things it was drawn or photographed for, {len(lexicon) - drawn} more it can only name "
        f"through its vision tower's ImageNet classes, {len(load_places())} places.",
        "headline": f"On {results['test']['captioned']:,} test scenes the best hypothesis names "
        f"{percent(best['recall'])} of the objects with {percent(best['precision'])} precision; some hypothesis has "
        f"the place right in {percent(best['place_right'])} and the counts in {percent(best['count_right'])}.",
        "columns": tables.hypotheses(results["test"], COLUMNS | {"recall": "recall"}, labels, NEVER_NAMED),
        "photographs": f"On {shots['photographs']} real photographs, some hypothesis names "
        f"{percent(shots['named'])} of the labelled things (LoRA-MLE with beam search: "
        f"{percent(shots['named_by_beam'])}), and the place in {percent(shots['place_named'])} of those whose place "
        "is clear.",
        "photographs_right": photographs(results, right=True, limit=8),
        "photographs_wrong": photographs(results, right=False, limit=8),
        "kinds": kinds(results["test"]),
        "places": places(results["test"]),
        "probe": probed(probe_results),
    }
