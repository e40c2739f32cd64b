"""The tables of places and photographs: complete, credited, and held out honestly."""

import itertools
import re

import pytest
from PIL import Image

from tests.support.csv_tables import read_rows
from training.embedded.image.material.photos import (
    COMMITTABLE,
    PACK_DIR,
    PROCEDURAL,
    Source,
    load_photos,
    load_real,
)
from training.embedded.image.world.lexicon import load_lexicon
from training.embedded.image.world.places import Place, load_places

LANGUAGES = ("en", "fr")
PHOTOS = load_photos()
REAL = load_real()


def test_there_are_enough_places_and_each_is_seen_in_both_splits():
    places = load_places()
    assert len(places) >= 40
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", place) for place in places)
    assert {photo.place for photo in PHOTOS} == set(places)
    for split in ("train", "test"):
        assert {photo.place for photo in PHOTOS if photo.source.split == split} == set(places)


def test_ids_are_unique():
    for items in (PHOTOS, REAL):
        ids = [item.source.id for item in items]
        assert len(set(ids)) == len(ids)


def test_real_photographs_are_labelled_with_known_concepts_and_places():
    lexicon, places = load_lexicon(), load_places()
    for photo in REAL:
        named = dict(photo.concepts)
        assert named and all(count >= 1 for count in named.values())
        assert photo.place is None or photo.place in places, photo.source.id
        if photo.source.split == "train":
            assert named.keys() <= lexicon.keys(), photo.source.id
        else:  # what is tested may be something that has no word
            assert photo.main in named, photo.source.id
            assert photo.count is None or photo.count == named[photo.main], photo.source.id
            if photo.main in lexicon and lexicon[photo.main].coco:
                assert photo.coco == lexicon[photo.main].coco, photo.source.id


def test_labels_are_of_one_file_each():
    assert all(re.fullmatch(r"[0-9a-f]{64}", photo.source.sha256) for photo in REAL)


def test_the_real_photograph_test_is_large_and_varied():
    test = [photo for photo in REAL if photo.source.split == "test"]
    assert len(test) >= 80 and sum(bool(photo.coco) for photo in test) >= 35
    assert sum(photo.main == "person" for photo in test) >= 12
    assert len({photo.group for photo in test}) >= 10 and len({photo.source.package for photo in test}) >= 10
    assert sum(photo.count is not None for photo in test) >= 80
    assert sum(photo.position is not None for photo in test) >= 40


def test_photographs_reserved_for_an_independent_check_are_not_used():
    assert not {"darknet", "scikit-learn"} & {item.source.package for item in (*PHOTOS, *REAL)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_phrase_names_one_place(language):
    words = {
        place.id: [f" {phrase.lower()} " for phrase in place.phrases(language)] for place in load_places().values()
    }
    for (first, mine), (second, others) in itertools.permutations(words.items(), 2):
        for phrase, other in itertools.product(mine, others):
            assert phrase not in other, f"{first}: {phrase!r} is part of {second}: {other!r}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_phrases_are_plain_text(language):
    for place in load_places().values():
        for phrase in place.phrases(language):
            assert re.fullmatch(r"[A-Za-zÀ-ÿœŒ' -]+", phrase), phrase
            assert phrase == " ".join(phrase.split()) and not phrase.startswith(("A ", "Un ", "Une ", "In ", "Dans "))


def test_french_phrases_elide_and_contract():
    missing_elision = re.compile(r"\b(?:le|la|de|ce|que|je|ne|se) [aeiouyéèêàâîôûœ]", re.IGNORECASE)
    missing_contraction = re.compile(r"\b(?:à les?|de les?) ", re.IGNORECASE)
    for place in load_places().values():
        for phrase in place.phrases("fr"):
            assert not missing_elision.search(phrase), phrase
            assert not missing_contraction.search(phrase), phrase
        assert re.match(r"(?:une? |l[ae] |l'|les )", place.fr_noun), place.fr_noun


def test_english_articles_fit_the_next_word():
    for place in load_places().values():
        for phrase in place.phrases("en"):
            assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", phrase), phrase


def _view(source: Source) -> tuple[str, dict[str, str]]:
    location, _, view = source.path.partition("#")
    return location, dict(item.split("=") for item in view.split(",") if item)


def _overlap(first: Source, second: Source) -> bool:
    """Whether two pictures of the same file show a common part."""
    views = _view(first)[1], _view(second)[1]
    if all("yaw" in view for view in views):
        apart = abs((float(views[0]["yaw"]) - float(views[1]["yaw"]) + 180) % 360 - 180)
        return apart < (float(views[0]["fov"]) + float(views[1]["fov"])) / 2
    (left, top, right, bottom), (left2, top2, right2, bottom2) = first.crop, second.crop
    return max(left, left2) < min(right, right2) and max(top, top2) < min(bottom, bottom2)


def test_no_part_of_a_photograph_is_in_both_splits():
    sources = [item.source for item in (*PHOTOS, *REAL) if item.source.package != PROCEDURAL]
    train = [source for source in sources if source.split == "train"]
    for source in sources:
        if source.split == "test":
            for seen in train:
                same = (seen.package, _view(seen)[0]) == (source.package, _view(source)[0])
                assert not (same and _overlap(seen, source)), f"{source.id} shows a part of {seen.id}"


def test_procedural_tests_use_unseen_seeds_and_tones():
    views = {
        split: [_view(p.source)[1] for p in PHOTOS if p.source.package == PROCEDURAL and p.source.split == split]
        for split in ("train", "test")
    }
    assert max(float(view["tone"]) for view in views["train"]) <= 0.6
    assert min(float(view["tone"]) for view in views["test"]) >= 0.75
    assert not {view["seed"] for view in views["train"]} & {view["seed"] for view in views["test"]}


def test_only_permissive_pictures_are_committed_with_their_credits():
    committed = {
        f"{folder}/{item.file}": item.source
        for folder, items in (("photos", PHOTOS), ("real", REAL))
        for item in items
        if item.source.commit
    }
    assert all(source.licence in COMMITTABLE and source.author for source in committed.values())
    files = {
        str(path.relative_to(PACK_DIR)): path
        for folder in ("photos", "real")
        for path in (PACK_DIR / folder).rglob("*.jpg")
    }
    assert set(files) == set(committed)
    credits = {row["file"]: row for row in read_rows(PACK_DIR / "photos" / "ATTRIBUTION.csv")}
    assert set(credits) == set(committed)
    for name, source in committed.items():
        assert (credits[name]["author"], credits[name]["licence"]) == (source.author, source.licence)
    assert sum(path.stat().st_size for path in files.values()) < 12_000_000
    for path in files.values():
        with Image.open(path) as picture:
            assert picture.mode == "RGB" and max(picture.size) <= 512


def test_a_place_needs_every_phrase_and_a_known_kind():
    phrases = {"en": "on a beach", "en_alt": "by the dunes", "en_noun": "a beach"}
    phrases |= {"fr": "sur une plage", "fr_alt": "dans les dunes", "fr_noun": "une plage"}
    with pytest.raises(ValueError, match="kind"):
        Place(id="beach", **phrases, kind="seaside")
    with pytest.raises(ValueError, match="every phrase"):
        Place(id="beach", **phrases | {"fr": ""}, kind="outdoor")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"package": "not-a-package"}, "unknown package"),
        ({"split": "validation"}, "split"),
        ({"crop": (0.5, 0.0, 0.5, 1.0)}, "crop"),
        ({"commit": True}, "must not be committed"),
    ],
)
def test_a_source_is_checked(wrong, message):
    row = {
        "id": "x",
        "package": "scratch",
        "path": "x.jpg",
        "licence": "CC-BY-SA-3.0",
        "author": "",
        "commit": False,
    }
    with pytest.raises(ValueError, match=message):
        Source(**{**row, "split": "train", **wrong})
