"""The cards' passages about real photographs, from made results: chosen by rule, never by hand."""

from dataclasses import replace

import pytest

from training.embedded.image.material.photos import RealPhoto, Source, load_real
from training.embedded.image.photograph_card import (
    LEAST_PHOTOGRAPHS,
    main_columns,
    photograph_passages,
    photographs_groups,
    photographs_measures,
    photographs_shown,
    photographs_sources,
    tenths,
    visitor,
)

MODES = ("en-objects", "en-place", "fr-place")


def entry(name: str, named: str, right: str, committed: bool = True) -> dict:
    """An entry whose three hypotheses name the main thing, and hold nothing wrong, where there is a "y"."""
    columns = {
        f"caption-gate/{k}": {
            "main": named[k] == "y",
            "nothing_wrong": right[k] == "y",
            "count_right": True if named[k] == "y" else None,
            "position_right": k == 0 if named[k] == "y" else None,
        }
        for k in range(len(named))
    }
    captions = {f"caption-gate/{k}": [f"Caption {k} of {name}."] for k in range(len(named))}
    return {"photograph": name, "committed": committed, "main": "polar_bear", "columns": columns, "captions": captions}


def results(entries: list[dict], **measures) -> dict:
    photographs = {
        "photographs": len(entries),
        "coco_photographs": 3,
        "with_people": 1,
        "main_named_by_some": 0.72,
        "main_named_by_some_coco": 0.81,
        "main_named_by_objects": 0.6,
        "main_named_by_objects_coco": 0.7,
        "nothing_wrong": 0.55,
        "nothing_wrong_something": 0.5,
        "person_misnamed": 0.01,
        "objects_column": "caption-gate/2",
        "count_right": 0.65,
        "position_right": 0.75,
        "place_right": None,
        "beam": {"main_named": 0.4, "main_named_coco": 0.5, "nothing_wrong": 0.3},
        "columns": {
            f"caption-gate/{k}": {"main": k / 10, "main_coco": k / 5, "nothing_wrong": k / 4} for k in range(3)
        },
        "entries": entries,
    }
    stability = {"main": [2, 1, 0]}
    return {
        "test": {"modes": MODES, "likelihood": {"caption-gate": {"stability": stability}}},
        "photographs": photographs | measures,
    }


def labels(**groups: str) -> dict[str, RealPhoto]:
    return {
        name: RealPhoto(
            Source(name, "scratch", name, "PD", "someone", False, "test"), (("dog", 1),), None, "dog", group=group
        )
        for name, group in groups.items()
    }


def test_columns_are_in_the_order_of_the_modes():
    found = main_columns(results([]))
    assert found == {"en-objects": "caption-gate/2", "en-place": "caption-gate/1", "fr-place": "caption-gate/0"}


def test_examples_are_the_first_of_each_kind_that_went_well_or_badly():
    entries = [
        entry("a", "yyy", "yyn"),  # named, but something is wrong: neither
        entry("b", "nyn", "yyy", committed=False),
        entry("c", "nyn", "yyy"),
        entry("d", "yyy", "yyy"),
        entry("e", "nnn", "nyy"),
        entry("f", "nnn", "yyy"),  # vague: neither
        entry("g", "yyy", "yyy"),
    ]
    photos = labels(a="pets", b="pets", c="pets", d="pets", e="food", f="food", g="food")
    good = photographs_shown(results(entries), photos, good=True).splitlines()
    assert good[0] == "| photograph | en-objects | en-place | fr-place |"
    assert good[2:] == [
        f"| `{name}`: polar bear | Caption 2 of {name}. | Caption 1 of {name}. | Caption 0 of {name}. |"
        for name in ("c", "g")
    ]
    bad = photographs_shown(results(entries), photos, good=False).splitlines()
    assert [row.split("`")[1] for row in bad[2:]] == ["e"]


def test_kinds_go_from_best_to_worst():
    entries = [entry("a", "nnn", "yyn"), entry("b", "nyn", "yyy"), entry("c", "nnn", "nnn")]
    rows = photographs_groups(results(entries), labels(a="pets", b="food", c="pets")).splitlines()[2:]
    assert rows == ["| food | 1 | 100.0 % | 100.0 % |", "| pets | 2 | 0.0 % | 33.3 % |"]


def test_passages_hold_the_results_figures():
    real = [photo.source.id for photo in load_real() if photo.source.split == "test"]
    found = photograph_passages(results([entry(name, "yyn", "yyy") for name in real]), families=True)
    assert f"On {len(real)} real photographs (3 of things among COCO's 80 classes, 1 of people)" in found["photographs"]
    assert "names the main thing in 72.0 % (of COCO's things in 81.0 %)" in found["photographs"]
    assert "beam search in 40.0 % (50.0 %)" in found["photographs"]
    rows = found["photographs_columns"].splitlines()
    assert rows[2] == "| names the main thing | 72.0 % | 20.0 % | 10.0 % | 0.0 % | 40.0 % |"
    assert rows[4] == "| holds nothing wrong | – | 50.0 % | 25.0 % | 0.0 % | 30.0 % |"
    assert "| name the right place, where they name one and it is clear | – |" in found["photographs_measures"]
    assert "7 in 10 of" in found["visitor"] and "6 in 10 of the captions hold nothing wrong" in found["visitor"]


def test_what_is_not_one_thing_in_the_middle_has_rows_of_its_own():
    photos = labels(a="pets", b="pets", c="food")
    photos["a"] = replace(photos["a"], count=2, position="left")
    photos["b"] = replace(photos["b"], count=1, position="middle")
    photos["c"] = replace(photos["c"], count=3, position="right")
    entries = [entry("a", "yyy", "yyy"), entry("b", "yyy", "yyy"), entry("c", "ynn", "yyy")]
    *_, several, aside = photographs_measures(results(entries), photos).splitlines()
    assert several == "| the same count, where there are two or three | 100.0 % (of 1) |", "c's objects name nothing"
    assert aside == "| the same position, where it is not the middle | 50.0 % (of 4) |"


def test_the_visitors_sentences_name_the_best_and_the_worst_kinds():
    kinds = {"pets": "yyyyy", "people": "yyyyn", "vehicles": "yyynn", "food": "yynnn", "objects": "nnnnn", "rare": "y"}
    entries = [entry(f"{kind}{n}", 3 * named, "yyy") for kind, row in kinds.items() for n, named in enumerate(row)]
    photos = labels(**{f"{kind}{n}": kind for kind, row in kinds.items() for n in range(len(row))})
    text = visitor(results(entries), photos, families=False)
    assert "it is trained to say less" not in text
    assert "it is trained to say less" in visitor(results(entries), photos, families=True)
    assert "best pets (10 in 10), people (8 in 10), vehicles (6 in 10) and food (4 in 10)" in text
    assert "worst small objects (0 in 10)" in text and "rare" not in text
    assert len(kinds["rare"]) < LEAST_PHOTOGRAPHS <= len(kinds["pets"])


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.0, "0 in 10"), (0.04, "1 in 10"), (0.96, "9 in 10"), (0.64, "6 in 10"), (0.66, "7 in 10"), (1.0, "10 in 10")],
)
def test_tenths(share, words):
    assert tenths(share) == words


def test_sources_add_up():
    rows = photographs_sources(load_real()).splitlines()[2:]
    counts = [int(row.split(" | ")[1]) for row in rows]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == sum(photo.source.split == "test" for photo in load_real())
