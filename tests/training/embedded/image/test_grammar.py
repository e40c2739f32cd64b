"""Exact sentences in both languages, and properties of every caption over the project's own tables."""

import random

import pytest

from tests.support.draws import Draw, sentences
from tests.support.image_grammar import (
    COW,
    ELEPHANT,
    EYE,
    GRAMMAR,
    HORSE,
    HOURGLASS,
    OWL,
    SCISSORS,
    SHEEP,
    TRUCK,
    UNICORN,
    WHEEL,
    all_templates,
)
from training.embedded.image.captions import english, french
from training.embedded.image.captions.english import EnglishNounPhrase, article_en, noun_phrase_en, size_words_en
from training.embedded.image.captions.french import (
    FrenchNounPhrase,
    adjective_fr,
    de_fr,
    noun_phrase_fr,
    size_words_fr,
)
from training.embedded.image.captions.grammar import (
    MODES,
    TEMPLATES,
)
from training.embedded.image.world.scene import Scene, Thing


@pytest.mark.parametrize(
    ("noun", "count", "size_word", "expected"),
    [
        (COW, 1, "", "a cow"),
        (COW, 1, "enormous", "an enormous cow"),
        (COW, 3, "enormous", "three enormous cows"),
        (OWL, 1, "", "an owl"),
        (OWL, 1, "large", "a large owl"),
        (HOURGLASS, 1, "", "an hourglass"),
        (UNICORN, 1, "", "a unicorn"),
        (UNICORN, 1, "tiny", "a tiny unicorn"),
        (SHEEP, 1, "", "a sheep"),
        (SHEEP, 2, "small", "two small sheep"),
        (SCISSORS, 1, "little", "a little pair of scissors"),
        (SCISSORS, 3, "", "three pairs of scissors"),
    ],
)
def test_english_noun_phrases(noun, count, size_word, expected):
    assert noun_phrase_en(noun, count, size_word) == expected


@pytest.mark.parametrize(
    ("noun", "count", "size_word", "expected"),
    [
        (COW, 1, "", "une vache"),
        (COW, 1, "petit", "une petite vache"),
        (COW, 2, "petit", "deux petites vaches"),
        (COW, 1, "gros", "une grosse vache"),
        (COW, 3, "gros", "trois grosses vaches"),
        (COW, 2, "énorme", "deux énormes vaches"),
        (OWL, 1, "gros", "un gros hibou"),
        (OWL, 2, "gros", "deux gros hiboux"),
        (OWL, 3, "grand", "trois grands hiboux"),
        (HORSE, 2, "", "deux chevaux"),
        (ELEPHANT, 1, "minuscule", "un minuscule éléphant"),
        (SCISSORS, 2, "grand", "deux grandes paires de ciseaux"),
        (TRUCK, 3, "petit", "trois petits camions de pompiers"),
        (EYE, 2, "", "deux yeux"),
    ],
)
def test_french_noun_phrases(noun, count, size_word, expected):
    assert noun_phrase_fr(noun, count, size_word) == expected


@pytest.mark.parametrize(("word", "expected"), [("small", "a"), ("enormous", "an"), ("old", "an"), ("big", "a")])
def test_article_follows_the_size_word(word, expected):
    assert article_en(word) == expected


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("une vache", "d'une vache"),
        ("un hibou", "d'un hibou"),
        ("deux petites pommes", "de deux petites pommes"),
        ("trois éléphants", "de trois éléphants"),
        ("énormes vaches", "d'énormes vaches"),
    ],
)
def test_de_elides_before_a_vowel(phrase, expected):
    assert de_fr(phrase) == expected


@pytest.mark.parametrize(
    ("word", "forms"),
    [
        ("petit", ("petit", "petits", "petite", "petites")),
        ("minuscule", ("minuscule", "minuscules", "minuscule", "minuscules")),
        ("grand", ("grand", "grands", "grande", "grandes")),
        ("gros", ("gros", "gros", "grosse", "grosses")),
        ("énorme", ("énorme", "énormes", "énorme", "énormes")),
    ],
)
def test_french_adjectives_agree(word, forms):
    assert tuple(adjective_fr(word, gender, plural) for gender in "mf" for plural in (False, True)) == forms


def test_every_french_size_word_has_its_forms():
    assert {word for some in french.SIZE_WORDS.values() for word in some} == french.ADJECTIVES.keys()


def test_size_is_not_mentioned_twice():
    assert size_words_en(WHEEL, "large") == size_words_fr(WHEEL, "small") == ()
    assert size_words_en(COW, "normal") == size_words_fr(COW, "normal") == ()
    assert size_words_en(COW, "large") == english.SIZE_WORDS["large"]


ONE = Scene("moon", (Thing("owl", 1, "large", "middle"),))
ONES = Scene("moon", (Thing("owl", 2, "small", "right"),))
TWO = Scene("moon", (Thing("apple", 3, "normal", "left"), Thing("cow", 1, "small", "right")))
THREE = Scene(
    "beach",
    (
        Thing("sheep", 2, "normal", "left"),
        Thing("horse", 2, "normal", "middle"),
        Thing("elephant", 1, "large", "right"),
    ),
)


ENGLISH_OBJECTS_SENTENCES = {
    ONE: """
        An owl.
        We see an owl.
        You can see an owl.
        I can see an owl.
        The picture shows an owl.
        A picture of an owl.
    """,
    TWO: """
        Three apples and a cow.
        Three apples, a cow.
        You can see three apples and a cow.
        I can see three apples and a cow.
        The picture shows three apples and a cow.
        A picture of three apples and a cow.
    """,
    THREE: """
        Two sheep, two horses and an elephant.
        Two sheep, two horses, an elephant.
        You can see two sheep, two horses and an elephant.
        I can see two sheep, two horses and an elephant.
        The picture shows two sheep, two horses and an elephant.
        A picture of two sheep, two horses and an elephant.
    """,
}


@pytest.mark.parametrize(("scene", "expected"), ENGLISH_OBJECTS_SENTENCES.items())
def test_english_objects_sentences(scene, expected):
    assert all_templates(scene, "en-objects") == sentences(expected)


ENGLISH_PLACE_SENTENCES = {
    ONE: """
        On the moon, a large owl is in the middle.
        On the moon, there is a large owl in the middle.
        On the moon, a large owl can be seen in the middle.
        A large owl is in the middle, on the moon.
        There is a large owl in the middle, on the moon.
        A large owl can be seen in the middle, on the moon.
        This is the moon with a large owl in the middle.
    """,
    ONES: """
        On the moon, two small owls are on the right.
        On the moon, there are two small owls on the right.
        On the moon, two small owls can be seen on the right.
        Two small owls are on the right, on the moon.
        There are two small owls on the right, on the moon.
        Two small owls can be seen on the right, on the moon.
        This is the moon with two small owls on the right.
    """,
    TWO: """
        On the moon, three apples are to the left of a small cow.
        On the moon, a small cow is to the right of three apples.
        On the moon, three apples are on the left and a small cow is on the right.
        Three apples are to the left of a small cow, on the moon.
        A small cow is to the right of three apples, on the moon.
        Three apples are beside a small cow, on the moon.
        This is the moon with three apples to the left of a small cow.
    """,
    THREE: """
        On a beach, two horses are between two sheep and a large elephant.
        On a beach, from left to right: two sheep, two horses and a large elephant.
        On a beach, two sheep are to the left of two horses and a large elephant.
        Two horses are between two sheep and a large elephant, on a beach.
        From left to right: two sheep, two horses and a large elephant, on a beach.
        A large elephant is to the right of two sheep and two horses, on a beach.
        This is a beach with two horses between two sheep and a large elephant.
    """,
}


@pytest.mark.parametrize(("scene", "expected"), ENGLISH_PLACE_SENTENCES.items())
def test_english_place_sentences(scene, expected):
    assert all_templates(scene, "en-place") == sentences(expected)


FRENCH_PLACE_SENTENCES = {
    ONE: """
        Sur la lune, un grand hibou se trouve au milieu.
        Sur la lune, il y a un grand hibou au milieu.
        Sur la lune, on voit un grand hibou au milieu.
        Un grand hibou au milieu, sur la lune.
        Il y a un grand hibou au milieu, sur la lune.
        On voit un grand hibou au milieu, sur la lune.
        Voici la lune avec un grand hibou au milieu.
    """,
    TWO: """
        Sur la lune, trois pommes se trouvent à gauche d'une petite vache.
        Sur la lune, il y a une petite vache à droite de trois pommes.
        Sur la lune, on voit trois pommes à gauche et une petite vache à droite.
        Trois pommes à gauche d'une petite vache, sur la lune.
        Une petite vache à droite de trois pommes, sur la lune.
        Trois pommes à côté d'une petite vache, sur la lune.
        Voici la lune avec trois pommes à gauche d'une petite vache.
    """,
    THREE: """
        Sur une plage, deux chevaux se trouvent entre deux moutons et un grand éléphant.
        Sur une plage, de gauche à droite : deux moutons, deux chevaux et un grand éléphant.
        Sur une plage, il y a deux moutons à gauche de deux chevaux et d'un grand éléphant.
        Deux chevaux entre deux moutons et un grand éléphant, sur une plage.
        De gauche à droite : deux moutons, deux chevaux et un grand éléphant, sur une plage.
        Un grand éléphant à droite de deux moutons et de deux chevaux, sur une plage.
        Voici une plage avec deux chevaux entre deux moutons et un grand éléphant.
    """,
}


@pytest.mark.parametrize(("scene", "expected"), FRENCH_PLACE_SENTENCES.items())
def test_french_place_sentences(scene, expected):
    assert all_templates(scene, "fr-place") == sentences(expected)


def test_a_silent_annotator_leaves_the_size_out():
    assert GRAMMAR.caption(ONE, "fr-place", Draw(1.0), 3) == "Un hibou au milieu, sur la lune."


def test_sizes_are_mentioned_in_seven_captions_of_ten():
    rng = random.Random(0)
    words = set(english.SIZE_WORDS["large"])
    mentioned = sum(bool(words & set(GRAMMAR.caption(ONE, "en-place", rng).split())) for _ in range(2000))
    assert 0.66 < mentioned / 2000 < 0.74


def test_verbs_agree():
    assert [EnglishNounPhrase("x", plural, "").be for plural in (False, True)] == ["is", "are"]
    assert [FrenchNounPhrase("x", p, "").stands for p in (False, True)] == ["se trouve", "se trouvent"]


def test_every_mode_has_six_to_eight_paraphrases_for_every_number_of_things():
    assert tuple(TEMPLATES) == MODES
    for templates in TEMPLATES.values():
        assert sorted(templates) == [1, 2, 3]
        assert all(6 <= len(set(some)) == len(some) <= 8 for some in templates.values())
