"""Evaluation on real photographs: every column's captions and their scores.

A photograph is labelled by looking at it, before any caption is seen: its main thing, what else is in it, how many and
where the main thing is as far as that is clear, and its place where that is clear.

    python -m training.embedded.image.real_photos     # the committed bundle; training.embedded.evaluate does it too
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from lora_mcl.adapters import AdapterStack
from lora_mcl.bundle import load_bundle
from lora_mcl.decoding import ColumnRequest, Greedy
from lora_mcl.models.llava_next import ImageLanguageModel
from training.embedded.common.comparison import GATE, MAX_NEW_TOKENS, MLE, baseline_requests
from training.embedded.common.domain import PROMPT
from training.embedded.common.generation import generate
from training.embedded.common.reports import mean
from training.embedded.image.captions.parser import ParsedCaption, load_parser
from training.embedded.image.material.assets import PACK_DIR
from training.embedded.image.material.photos import RealPhoto, load_real
from training.embedded.image.world.lexicon import OBJECT, family_of, load_lexicon, plain_concept
from training.embedded.image.world.scene import MAX_COUNT, Slot
from training.paths import ASSETS, BUILD, RESULTS

FAMILY_OF_GROUP = {
    "pets": "animal",
    "wild animals": "animal",
    "farm animals": "animal",
    "food": "food",
    "tools": "tool",
    "plants": "plant",
    "vehicles": "vehicle",
    "furniture": "furniture",
}
"""The broader word for a main thing that the lexicon has no word for."""
# "On the left" is a thing's position; "to the left of" and "à gauche d'une ..." do not.
POSITIONS: tuple[tuple[Slot, re.Pattern[str]], ...] = (
    ("left", re.compile(r"\bon the left\b|à gauche(?! d[e'’u])", re.IGNORECASE)),
    ("middle", re.compile(r"\bin the middle\b|au milieu(?! d)", re.IGNORECASE)),
    ("right", re.compile(r"\bon the right\b|à droite(?! d[e'’u])", re.IGNORECASE)),
)


def test_photographs(root: Path) -> list[tuple[RealPhoto, Path]]:
    """The test photographs that are there, with their files."""
    photos = [(photo, root / "real" / photo.file) for photo in load_real() if photo.source.split == "test"]
    return [(photo, path) for photo, path in photos if path.is_file()]


def right_names(photo: RealPhoto) -> frozenset[str]:
    """Every noun that is right about some thing in a photograph: its own, its COCO class's plain one, its family.

    "An object" is right of anything but a photograph of a person.
    """
    lexicon = load_lexicon()
    names = {photo.main, *photo.accepted, *photo.also, *(concept for concept, _ in photo.concepts)}
    known = [lexicon[name] for name in names if name in lexicon]
    plain = {plain_concept(concept.coco) for concept in known if concept.coco}
    plain |= {plain_concept(photo.coco)} if photo.coco else set()
    families = {family_of(concept) for concept in known} | {FAMILY_OF_GROUP.get(photo.group, OBJECT)}
    right = names | plain | families
    return frozenset(right - {OBJECT} if photo.main == "person" else right | {OBJECT})


def names_main(photo: RealPhoto, caption: ParsedCaption) -> bool:
    """Whether a caption names the main thing: by its label, another right name, or the noun of its COCO class."""
    wanted = {photo.main, *photo.accepted, *({plain_concept(photo.coco)} if photo.coco else ())}
    return bool(wanted & _named(caption))


def names_nothing_else(photo: RealPhoto, caption: ParsedCaption) -> bool:
    """Whether every thing that a caption names is in the photograph."""
    return _named(caption) <= right_names(photo)


def nothing_wrong(photo: RealPhoto, caption: ParsedCaption) -> bool:
    """Whether every thing that a caption names is in the photograph, and its place, if it names one, is the label's."""
    return names_nothing_else(photo, caption) and caption.place in (None, photo.place)


def names_something(caption: ParsedCaption) -> bool:
    """Whether a caption names anything more specific than "an object"."""
    return bool(_named(caption) - {OBJECT})


def stated_position(text: str) -> Slot | None:
    """The position that a caption of one thing states; None if it states none, or two."""
    found = [slot for slot, pattern in POSITIONS if pattern.search(text)]
    return found[0] if len(found) == 1 else None


def _named(caption: ParsedCaption) -> frozenset[str]:
    return frozenset(concept for concept, _ in caption.things)


def photograph_report(
    model: ImageLanguageModel,
    stack: AdapterStack,
    requests: Sequence[ColumnRequest],
    hypotheses: Sequence[str],
    root: Path,
) -> dict[str, Any]:
    """Every column's captions of every test photograph, and how right they are.

    Args:
        hypotheses: the columns of the hypotheses; of all others the first caption alone is measured.
        root: holds the photographs in ``real/test``.
    """
    photos = test_photographs(root)
    images = [Image.open(path) for _, path in photos]
    rows = list(generate(model, stack, requests, images, PROMPT, MAX_NEW_TOKENS))
    parse = load_parser().parse
    entries = [
        {
            "photograph": photo.source.id,
            "committed": photo.source.commit,
            "main": photo.main,
            "coco": photo.coco,
            "place": photo.place,
            "columns": {name: _measure(photo, texts[0], parse) for name, texts in row.items()},
            "captions": row,
        }
        for (photo, _), row in zip(photos, rows, strict=True)
    ]
    return {"photographs": len(entries), **summary(entries, hypotheses), "entries": entries}


def _measure(photo: RealPhoto, text: str, parse: Callable[[str], ParsedCaption]) -> dict[str, bool | None]:
    """One caption of one photograph; None where a measure does not apply."""
    caption = parse(text)
    main = names_main(photo, caption)
    counts = {count for concept, count in caption.things if concept in {photo.main, plain_concept(photo.coco or "-")}}
    countable = main and photo.count is not None and photo.count <= MAX_COUNT and len(counts) == 1
    position = stated_position(text) if main and len(caption.things) == 1 else None
    person = photo.main == "person"
    return {
        "mode": caption.mode,
        "main": main,
        "nothing_wrong": nothing_wrong(photo, caption),
        "something": names_something(caption),
        "count_right": counts == {photo.count} if countable else None,
        "position_right": position == photo.position if position and photo.position else None,
        "person_misnamed": not main and not names_nothing_else(photo, caption) if person else None,
        "place_right": caption.place == photo.place if photo.place and caption.place else None,
    }


def summary(entries: Sequence[dict[str, Any]], hypotheses: Sequence[str]) -> dict[str, Any]:
    """Shares over photographs and columns. The objects column is the hypothesis most often in that mode."""
    coco = [entry for entry in entries if entry["coco"]]

    def column(name: str, measure: str, some: Sequence[dict[str, Any]] = entries) -> float | None:
        values = [entry["columns"][name][measure] for entry in some]
        return mean(value for value in values if value is not None) if any(v is not None for v in values) else None

    def any_of(names: Sequence[str], some: Sequence[dict[str, Any]]) -> float:
        return mean(any(entry["columns"][name]["main"] for name in names) for entry in some)

    def over_hypotheses(*measures: str) -> float | None:
        values = [
            all(entry["columns"][name][measure] for measure in measures)
            for entry in entries
            for name in hypotheses
            if entry["columns"][name][measures[0]] is not None
        ]
        return mean(values) if values else None

    objects = max(hypotheses, key=lambda name: sum(entry["columns"][name]["mode"] == "en-objects" for entry in entries))
    return {
        "coco_photographs": len(coco),
        "with_people": sum(entry["main"] == "person" for entry in entries),
        "main_named_by_some": any_of(hypotheses, entries),
        "main_named_by_some_coco": any_of(hypotheses, coco),
        "objects_column": objects,
        "main_named_by_objects": column(objects, "main"),
        "main_named_by_objects_coco": column(objects, "main", coco),
        "nothing_wrong": over_hypotheses("nothing_wrong"),
        "nothing_wrong_something": over_hypotheses("nothing_wrong", "something"),
        "person_misnamed": over_hypotheses("person_misnamed"),
        "count_right": column(objects, "count_right"),
        "position_right": over_hypotheses("position_right"),
        "place_right": over_hypotheses("place_right"),
        "beam": {
            "main_named": column("beam", "main"),
            "main_named_coco": column("beam", "main", coco),
            "nothing_wrong": column("beam", "nothing_wrong"),
        },
        "columns": {
            name: {
                "main": column(name, "main"),
                "main_coco": column(name, "main", coco),
                "nothing_wrong": column(name, "nothing_wrong"),
            }
            for name in hypotheses
        },
    }


def main() -> None:
    """Measure the committed bundle and replace the photographs' part of ``assets/results/image.json``."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_grad_enabled(False)
    bundle = load_bundle(ASSETS / "bundles" / "image")
    model = ImageLanguageModel.load(bundle.base_location())
    folders = {name: bundle.folder / ref.path for name, ref in zip(GATE, bundle.hypotheses, strict=True)}
    stack = AdapterStack.from_peft(model.model, folders | {MLE: bundle.folder / bundle.baseline.path})
    requests = [
        *(ColumnRequest(name, stack.index(name), Greedy()) for name in GATE),
        *baseline_requests(stack),
    ]
    root = BUILD if (BUILD / "real").is_dir() else PACK_DIR
    results = json.loads((RESULTS / "image.json").read_text(encoding="utf-8"))
    results["photographs"] = photograph_report(model, stack, requests, GATE, root)
    (RESULTS / "image.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
