"""Translation of captions by the grammar of a bundle."""

import json

import pytest

from lora_mcl.bundle.bundle import EMBEDDED_BUNDLE
from lora_mcl.errors import BundleError
from lora_mcl.phrasebook import PHRASEBOOK_FILE, load_phrasebook, phrasebook_of
from tests.support.small_phrasebook import SMALL


@pytest.mark.parametrize(
    ("french", "english"),
    [
        ("Sur une plage, un chat se trouve à gauche.", "On a beach, a cat is on the left."),
        ("Sur une plage, deux moutons se trouvent au milieu.", "On a beach, two sheep are in the middle."),
        ("Il y a une pomme à droite d'un chat.", "There is an apple to the right of a cat."),
        ("Il y a deux pommes à droite d’une énorme pomme.", "There are two apples to the right of an enormous apple."),
        ("Dans un pré, un chat se trouve à gauche.", "In a meadow, a cat is on the left."),
        ("Voici une plage avec deux énormes chats au milieu.", "This is a beach with two enormous cats in the middle."),
    ],
)
def test_sentences_of_the_grammar_are_translated(french, english):
    assert phrasebook_of(SMALL).translate(french) == english


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "A cat.",
        "Sur une plage, un chien se trouve à gauche.",
        "Sur la lune, un chat se trouve à gauche.",
        "Sur une plage, un chat se trouve à droite.",
        "Sur une plage, un chat se trouve à gauche. Il dort.",
        "Sur une plage, trois chats se trouvent à gauche.",
        "Sur une plage, une chat se trouve à gauche.",
    ],
)
def test_of_anything_else_there_is_no_translation(caption):
    assert phrasebook_of(SMALL).translate(caption) is None


def test_a_bundle_may_have_none(tmp_path):
    assert load_phrasebook(tmp_path) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({**SMALL, "nouns": [["chat"]]})])
def test_a_file_that_is_none_is_refused(tmp_path, content):
    (tmp_path / PHRASEBOOK_FILE).write_text(content, encoding="utf-8")
    with pytest.raises(BundleError, match=f"{PHRASEBOOK_FILE} is not a phrasebook"):
        load_phrasebook(tmp_path)


CLAUSES = {
    "source": "fr",
    "target": "en",
    "adverbs": {"deux fois": "twice"},
    "sentences": [
        ["{a}.", "{a}."],
        ["{a}, puis {b}.", "{a}, then {b}."],
        ["on entend {a.rel}.", "you can hear {a.rel}."],
    ],
    "forms": {
        "plain": {"un chien aboie": "a dog barks", "il pleut": "it rains"},
        "rel": {"un chien qui aboie": "a dog barking"},
    },
}


@pytest.mark.parametrize(
    ("french", "english"),
    [
        ("Un chien aboie.", "A dog barks."),
        ("Un chien aboie deux fois, puis il pleut.", "A dog barks twice, then it rains."),
        ("On entend un chien qui aboie deux fois.", "You can hear a dog barking twice."),
        ("Un chien aboie trois fois.", None),
        ("Il pleut et un chien aboie.", None),
        ("On entend un chien aboie.", None),
        ("un chien aboie", None),
        ("", None),
    ],
)
def test_clauses_are_translated(tmp_path, french, english):
    (tmp_path / PHRASEBOOK_FILE).write_text(json.dumps(CLAUSES), encoding="utf-8")
    assert load_phrasebook(tmp_path).translate(french) == english


@pytest.mark.parametrize(
    "part", [{"adverbs": None}, {"forms": {"plain": {}}}, {"forms": []}, {"sentences": [["{a.que}.", "{a}."]]}]
)
def test_a_damaged_file_of_clauses_is_refused(tmp_path, part):
    (tmp_path / PHRASEBOOK_FILE).write_text(json.dumps({**CLAUSES, **part}), encoding="utf-8")
    with pytest.raises(BundleError, match=f"{PHRASEBOOK_FILE} is not a phrasebook"):
        load_phrasebook(tmp_path)


def test_the_embedded_model_has_one():
    phrasebook = load_phrasebook(EMBEDDED_BUNDLE)
    assert len(phrasebook.things) > 5_000
    assert phrasebook.translate("Une petite vache entre deux pommes et un énorme chat, sur une plage.") == (
        "A small cow between two apples and an enormous cat, on a beach."
    )


@pytest.mark.parametrize(
    ("french", "english"),
    [
        ("On voit deux vaches au milieu, sur un pré.", "Two cows can be seen in the middle, on a meadow."),
        ("On voit une girafe à gauche, dans une place pavée.", "A giraffe can be seen on the left, in a town square."),
        ("Un tambour à gauche d'un tambour, sur un ruisseau.", "A drum to the left of a drum, on a stream."),
        ("Une voiture à côté d'une voiture, dans une rivière.", "A car beside a car, in a river."),
        ("Une vache à droite, près d'un pré.", "A cow on the right, near a meadow."),
        ("Une vache à droite, en ville.", "A cow on the right, in the city."),
    ],
)
def test_a_place_with_another_preposition_is_translated(french, english):
    """The first four are the model's own."""
    assert load_phrasebook(EMBEDDED_BUNDLE).translate(french) == english
