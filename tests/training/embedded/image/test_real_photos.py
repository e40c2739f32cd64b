"""How right captions of real photographs are, by hand values."""

import pytest

from training.embedded.image.captions.parser import load_parser
from training.embedded.image.material.photos import RealPhoto, Source
from training.embedded.image.real_photos import (
    _measure,
    names_main,
    names_nothing_else,
    names_something,
    nothing_wrong,
    right_names,
    stated_position,
    summary,
    test_photographs,
)

test_photographs.__test__ = False


def photo(main: str, **labels) -> RealPhoto:
    source = Source(main, "scratch", f"{main}.jpg", "PD", "someone", False, "test")
    return RealPhoto(source, **{"concepts": ((main, 1),), "place": None, "main": main} | labels)


PARROT = photo("parrot", coco="bird", accepted=frozenset({"eagle"}), also=frozenset({"tree"}), place="forest", count=1)
DOGS = photo("dog", coco="dog", count=2, position="left", group="pets")
PERSON = photo("person", coco="person", also=frozenset({"camera", "tripod"}), place="meadow", count=1, group="people")
QUOKKA = photo("quokka", group="wild animals")
PLIERS = photo("pliers", accepted=frozenset({"tool"}), group="tools")


def test_right_names_by_hand():
    # Its own, another right one, its COCO class's plain noun, what else there is, and the families of all of these.
    assert right_names(PARROT) == {"parrot", "eagle", "bird", "tree", "animal", "plant", "object"}
    # The lexicon has no word for a quokka: the kind of photograph says what family it is of.
    assert right_names(QUOKKA) == {"quokka", "animal", "object"}
    # A person is not an object, not even with a camera.
    assert right_names(photo("person", coco="person", group="people")) == {"person"}
    assert right_names(PERSON) == {"person", "camera", "tripod", "tool"}


@pytest.mark.parametrize(
    ("labels", "text", "main", "nothing", "something"),
    [
        (PARROT, "A parrot.", True, True, True),
        (PARROT, "An eagle is in the middle.", True, True, True),
        (PARROT, "Un oiseau.", True, True, True),
        (PARROT, "An animal.", False, True, True),
        (PARROT, "An object.", False, True, False),
        (PARROT, "A tree.", False, True, True),
        (PARROT, "A parrot and a dog.", True, False, True),
        (PARROT, "A dog.", False, False, True),
        (PARROT, "In a forest, a parrot is in the middle.", True, True, True),
        (PARROT, "On a beach, a parrot is in the middle.", True, False, True),
        (DOGS, "Dans une forêt, il y a deux chiens au milieu.", True, False, True),  # its place is not clear
        (QUOKKA, "An animal.", False, True, True),
        (QUOKKA, "A kangaroo.", False, False, True),
        (PLIERS, "A tool.", True, True, True),
        (PERSON, "A person and a camera.", True, True, True),
        (PERSON, "An object.", False, False, False),
        (PERSON, "", False, True, False),
    ],
)
def test_captions_by_hand(labels, text, main, nothing, something):
    caption = load_parser().parse(text)
    found = (names_main(labels, caption), nothing_wrong(labels, caption), names_something(caption))
    assert found == (main, nothing, something)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A dog is on the left.", "left"),
        ("There is a dog in the middle.", "middle"),
        ("A dog can be seen on the right, in a forest.", "right"),
        ("A dog is to the left of a cat.", None),
        ("A dog is on the left and a cat is on the right.", None),
        ("A dog.", None),
        ("Un chien à gauche.", "left"),
        ("On voit un chien au milieu.", "middle"),
        ("Il y a un chien au milieu, au milieu des falaises rouges.", "middle"),
        ("Au milieu des falaises rouges, un chien se trouve à droite.", "right"),
        ("Un chien à gauche d'une vache.", None),
        ("Un chien à droite de deux vaches.", None),
        ("Un chien à droite d’une vache.", None),
    ],
)
def test_stated_positions(text, expected):
    assert stated_position(text) == expected


@pytest.mark.parametrize(
    ("labels", "text", "expected"),
    [
        (DOGS, "Two dogs.", {"mode": "en-objects", "main": True, "count_right": True, "position_right": None}),
        (DOGS, "Three dogs are on the left.", {"mode": "en-place", "count_right": False, "position_right": True}),
        (DOGS, "Deux chiens au milieu.", {"mode": "fr-place", "count_right": True, "position_right": False}),
        (DOGS, "A dog and two dogs.", {"count_right": None}),  # two counts are none
        (DOGS, "Two cats are on the left.", {"main": False, "count_right": None, "position_right": None}),
        (DOGS, "Two dogs are on the left and a cat is on the right.", {"position_right": None}),
        (photo("dog", coco="dog", count=5), "Three dogs.", {"main": True, "count_right": None}),
        (photo("dog", coco="dog"), "Three dogs.", {"count_right": None, "place_right": None}),
        (PARROT, "A bird.", {"count_right": True, "person_misnamed": None, "place_right": None}),
        (PARROT, "On a beach, there is an animal in the middle.", {"place_right": False, "nothing_wrong": False}),
        (PARROT, "In a forest, there is an animal in the middle.", {"place_right": True, "nothing_wrong": True}),
        (PERSON, "A person.", {"person_misnamed": False}),
        (PERSON, "A person and a horse.", {"person_misnamed": False, "nothing_wrong": False}),
        (PERSON, "A horse.", {"person_misnamed": True}),
        (PERSON, "An animal.", {"person_misnamed": True}),
        (PERSON, "An object.", {"person_misnamed": True}),
        # A camera is there: what is wrong is the place.
        (PERSON, "On a beach, there is a camera in the middle.", {"person_misnamed": False, "nothing_wrong": False}),
    ],
)
def test_measures_by_hand(labels, text, expected):
    found = _measure(labels, text, load_parser().parse)
    assert {name: found[name] for name in expected} == expected
    assert found["nothing_wrong"] <= names_nothing_else(labels, load_parser().parse(text))


def entry(labels: RealPhoto, **captions: str) -> dict:
    columns = {name: _measure(labels, text, load_parser().parse) for name, text in captions.items()}
    return {
        "photograph": labels.source.id,
        "main": labels.main,
        "coco": labels.coco,
        "columns": columns,
        "captions": {name: [text] for name, text in captions.items()},
    }


def test_the_summary_by_hand():
    entries = [
        entry(DOGS, a="Deux chiens au milieu.", b="Two dogs.", beam="A dog and a cat."),
        entry(PARROT, a="Un animal au milieu.", b="An object.", beam="A parrot."),
        entry(PERSON, a="Une vache à gauche.", b="A person.", beam="A horse."),
        entry(QUOKKA, a="Un kangourou au milieu.", b="A dog.", beam="An animal."),
    ]
    found = summary(entries, ["a", "b"])
    assert (found["coco_photographs"], found["with_people"], found["objects_column"]) == (3, 1, "b")
    assert (found["main_named_by_some"], found["main_named_by_some_coco"]) == (0.5, 0.6667)
    assert (found["main_named_by_objects"], found["main_named_by_objects_coco"]) == (0.5, 0.6667)
    # Of 8 captions wrong are the cow, the kangaroo and the quokka as a dog; "an object" is not wrong and says nothing.
    assert (found["nothing_wrong"], found["nothing_wrong_something"]) == (0.625, 0.5)
    assert found["person_misnamed"] == 0.5
    assert found["count_right"] == 1.0, "of the objects column: two dogs, one person"
    assert found["position_right"] == 0.0, "dogs in the middle: they are on the left"
    assert found["place_right"] is None
    assert found["beam"] == {"main_named": 0.5, "main_named_coco": 0.6667, "nothing_wrong": 0.5}
    assert found["columns"]["a"] == {"main": 0.25, "main_coco": 0.3333, "nothing_wrong": 0.5}


def test_only_photographs_that_are_there_are_tested(tmp_path):
    folder = tmp_path / "real" / "test"
    folder.mkdir(parents=True)
    (folder / "dog.jpg").touch()
    assert [(labels.main, path) for labels, path in test_photographs(tmp_path)] == [("dog", folder / "dog.jpg")]
