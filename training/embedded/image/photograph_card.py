"""The image cards' passages about real photographs: how many are described rightly, which, and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from training.embedded.common.reports import mean
from training.embedded.common.tables import percent, table
from training.embedded.image.material.photos import PACKAGES, RealPhoto, load_real

GROUP_WORDS = {"objects": "small objects", "street": "street scenes"}
"""Of a kind of photographs, the words in a sentence, where they are not its name."""
MAIN_MEASURES = {
    "main": "names the main thing",
    "main_coco": "names the main thing, photographs of COCO's things",
    "nothing_wrong": "holds nothing wrong",
}
"""Of a column's caption of a photograph, in the photographs' first table."""
HYPOTHESES_MEASURES = {
    "nothing_wrong": "hold nothing wrong",
    "nothing_wrong_something": 'hold nothing wrong and name more than "an object"',
    "person_misnamed": "of people: name no person, but something else that is not there",
    "count_right": "English, objects: count one to three of the main thing rightly, where they name it",
    "position_right": "say rightly that the one thing they name is on the left, in the middle or on the right",
    "place_right": "name the right place, where they name one and it is clear",
}
"""Of the captions of all hypotheses, unless a row states otherwise."""
LEAST_PHOTOGRAPHS = 5
"""Kinds of fewer photographs have no share of their own."""


def main_columns(results: dict[str, Any]) -> dict[str, str]:
    """Of each mode, the column of its main hypothesis."""
    test = results["test"]
    main = test["likelihood"]["caption-gate"]["stability"]["main"]
    return {mode: f"caption-gate/{main[m]}" for m, mode in enumerate(test["modes"])}


def photographs(results: dict[str, Any]) -> str:
    """How many photographs there are, and what share of their main things is named."""
    shots = results["photographs"]
    return (
        f"On {shots['photographs']} real photographs ({shots['coco_photographs']} of things among COCO's 80 classes, "
        f"{shots['with_people']} of people), some hypothesis names the main thing in "
        f"{percent(shots['main_named_by_some'])} (of COCO's things in {percent(shots['main_named_by_some_coco'])}), "
        f"the English objects column alone in {percent(shots['main_named_by_objects'])} "
        f"({percent(shots['main_named_by_objects_coco'])}), LoRA-MLE with beam search in "
        f"{percent(shots['beam']['main_named'])} ({percent(shots['beam']['main_named_coco'])})."
    )


def photographs_columns(results: dict[str, Any]) -> str:
    """Each column's captions of the photographs, and beam search's."""
    shots, columns = results["photographs"], main_columns(results)
    some = {"main": shots["main_named_by_some"], "main_coco": shots["main_named_by_some_coco"]}
    beam = shots["beam"]
    first = {"main": beam["main_named"], "main_coco": beam["main_named_coco"], "nothing_wrong": beam["nothing_wrong"]}
    rows = [
        [
            words,
            percent(some.get(measure)),
            *(percent(shots["columns"][column][measure]) for column in columns.values()),
            percent(first[measure]),
        ]
        for measure, words in MAIN_MEASURES.items()
    ]
    return table(["a caption", "of some hypothesis", *columns, "LoRA-MLE, beam search: the first"], rows)


def photographs_measures(results: dict[str, Any], labels: Mapping[str, RealPhoto]) -> str:
    """What else the hypotheses' captions of the photographs get right.

    Most photographs show one thing in the middle, which needs no looking: what is not so has rows of its own.
    """
    shots = results["photographs"]
    rows = [[words, percent(shots[measure])] for measure, words in HYPOTHESES_MEASURES.items()]

    def judged(measure: str, columns: Iterable[str], wanted: Callable[[RealPhoto], bool]) -> str:
        entries = [entry for entry in shots["entries"] if wanted(labels[entry["photograph"]])]
        values = [entry["columns"][name][measure] for entry in entries for name in columns]
        known = [value for value in values if value is not None]
        return f"{percent(mean(known))} (of {len(known)})"

    rows += [
        ["the same count, where there are two or three", judged("count_right", [shots["objects_column"]], is_several)],
        ["the same position, where it is not the middle", judged("position_right", shots["columns"], is_aside)],
    ]
    return table(["of the hypotheses' captions", "share"], rows)


def is_several(photo: RealPhoto) -> bool:
    return photo.count is not None and photo.count > 1


def is_aside(photo: RealPhoto) -> bool:
    return photo.position in ("left", "right")


def by_group(entries: Sequence[dict[str, Any]], labels: Mapping[str, RealPhoto]) -> dict[str, list[dict[str, Any]]]:
    """The entries of each kind of photograph, kinds and entries in the table's order."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        groups.setdefault(labels[entry["photograph"]].group, []).append(entry)
    return groups


def photographs_groups(results: dict[str, Any], labels: Mapping[str, RealPhoto]) -> str:
    """Of each kind of photograph, how often the main thing is named and how often nothing is wrong."""
    columns = main_columns(results).values()
    rows = []
    for group, entries in by_group(results["photographs"]["entries"], labels).items():
        named = mean(any(entry["columns"][name]["main"] for name in columns) for entry in entries)
        right = mean(entry["columns"][name]["nothing_wrong"] for entry in entries for name in columns)
        rows.append((named, [group, str(len(entries)), percent(named), percent(right)]))
    rows.sort(key=lambda row: -row[0])
    header = ["photographs of", "number", "some hypothesis names the main thing", "captions that hold nothing wrong"]
    return table(header, [row for _, row in rows])


def photographs_shown(results: dict[str, Any], labels: Mapping[str, RealPhoto], *, good: bool) -> str:
    """Captions of the first committed photograph of each kind that went well, or that went badly.

    Well is: some hypothesis names the main thing, and none anything wrong. Badly is: none names the main thing, and
    some hypothesis something wrong.
    """
    columns = main_columns(results)

    def wanted(entry: dict[str, Any]) -> bool:
        measured = [entry["columns"][name] for name in columns.values()]
        named, right = any(one["main"] for one in measured), all(one["nothing_wrong"] for one in measured)
        return entry["committed"] and named == right == good

    rows = []
    for entries in by_group(results["photographs"]["entries"], labels).values():
        first = next(filter(wanted, entries), None)
        if first is not None:
            captions = (first["captions"][name][0] for name in columns.values())
            rows.append([f"`{first['photograph']}`: {first['main'].replace('_', ' ')}", *captions])
    return table(["photograph", *columns], rows)


def photographs_sources(labels: Iterable[RealPhoto]) -> str:
    """The packages that the test photographs come from, with how many, their licences, and what is committed."""
    rows = []
    packages: dict[str, list[RealPhoto]] = {}
    for photo in labels:
        if photo.source.split == "test":
            packages.setdefault(photo.source.package, []).append(photo)
    for name, photos in sorted(packages.items(), key=lambda item: -len(item[1])):
        licences = sorted({photo.source.licence for photo in photos})
        package = PACKAGES[name]
        committed = sum(photo.source.commit for photo in photos)
        rows.append(
            [f"{package.kind} `{name}` {package.version}", str(len(photos)), ", ".join(licences), str(committed or "–")]
        )
    return table(["package", "photographs", "licences", "in this repository"], rows)


def visitor(results: dict[str, Any], labels: Mapping[str, RealPhoto], *, families: bool) -> str:
    """Two sentences for who is about to upload a photograph.

    Args:
        families: whether the model has been trained to name an unclear thing by a broader word.
    """
    shots, columns = results["photographs"], main_columns(results).values()
    named = {
        group: mean(any(entry["columns"][name]["main"] for name in columns) for entry in entries)
        for group, entries in by_group(shots["entries"], labels).items()
        if len(entries) >= LEAST_PHOTOGRAPHS
    }
    best = sorted(named, key=lambda group: -named[group])
    *first, last = (f"{GROUP_WORDS.get(group, group)} ({tenths(named[group])})" for group in best[:4])
    worst = best[-1]
    vague = 'Where it is not sure, it is trained to say less ("an animal", "an object"): ' if families else ""
    return (
        f"Some column names the main thing in {tenths(shots['main_named_by_some'])} of {shots['photographs']} real "
        f"photographs that training never saw: best {', '.join(first)} and {last}, worst "
        f"{GROUP_WORDS.get(worst, worst)} ({tenths(named[worst])}). {vague}{tenths(shots['nothing_wrong'])} of the "
        "captions hold nothing wrong."
    )


def tenths(share: float) -> str:
    """A share in whole tenths, "7 in 10": "10 in 10" only where it is all, "0 in 10" only where it is none."""
    whole = round(10 * share)
    if 0 < share < 1:
        whole = min(max(whole, 1), 9)
    return f"{whole} in 10"


def photograph_passages(results: dict[str, Any], *, families: bool) -> dict[str, str]:
    """The passages, by the name their markers carry after ``image_``."""
    labels = {photo.source.id: photo for photo in load_real()}
    return {
        "visitor": visitor(results, labels, families=families),
        "photographs": photographs(results),
        "photographs_columns": photographs_columns(results),
        "photographs_measures": photographs_measures(results, labels),
        "photographs_groups": photographs_groups(results, labels),
        "photographs_good": photographs_shown(results, labels, good=True),
        "photographs_bad": photographs_shown(results, labels, good=False),
        "photographs_sources": photographs_sources(labels.values()),
    }
