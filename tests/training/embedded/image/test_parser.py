"""The parser undoes the grammar, survives free text, and scores are right by hand."""

import random

import pytest

from training.embedded.image.captions.english import noun_phrase_en, size_words_en
from training.embedded.image.captions.french import noun_phrase_fr, size_words_fr
from training.embedded.image.captions.grammar import MODES, load_grammar
from training.embedded.image.captions.parser import (
    LANGUAGES,
    ParsedCaption,
    load_parser,
    noun_forms,
    words,
)
from training.embedded.image.captions.scoring import Score, score
from training.embedded.image.world.lexicon import load_lexicon
from training.embedded.image.world.places import load_places
from training.embedded.image.world.sampler import sample_scene
from training.embedded.image.world.scene import Scene, Thing


@pytest.mark.parametrize("mode", MODES)
def test_parsed_undoes_every_caption(mode):
    grammar, parser, rng = load_grammar(), load_parser(), random.Random(2)
    concepts, places = sorted(grammar.concepts), sorted(grammar.places)
    for _ in range(4000):
        scene = sample_scene(rng, concepts, places)
        text = grammar.caption(scene, mode, rng)
        parsed = parser.parse(text)
        expected = {(thing.concept, thing.count) for thing in scene.things}
        assert (parsed.mode, parsed.language) == (mode, mode[:2]), text
        assert set(parsed.things) == expected and len(parsed.things) == len(expected), text
        assert parsed.place == (None if mode == "en-objects" else scene.place), text
        assert parsed.relates == (mode != "en-objects"), text


def test_no_size_makes_one_thing_another():
    """A large wheel is not "une grande roue": that is a Ferris wheel."""
    concepts = load_lexicon().values()
    forms = {
        form: concept.id for concept in concepts for language in LANGUAGES for form in noun_forms(concept, language)
    }
    for concept in concepts:
        for size in ("small", "large"):
            phrases = [
                noun_phrase_fr(concept, count, word) for count in (1, 2) for word in size_words_fr(concept, size)
            ]
            phrases += [
                noun_phrase_en(concept, count, word) for count in (1, 2) for word in size_words_en(concept, size)
            ]
            assert not [phrase for phrase in phrases if phrase.partition(" ")[2] in forms], concept.id


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_noun_and_every_place_phrase_names_one_thing_only(language):
    owners = {}
    for concept in load_lexicon().values():
        for form in noun_forms(concept, language):
            owners.setdefault(words(form), set()).add(concept.id)
    for place in load_places().values():
        for phrase in place.phrases(language):
            owners.setdefault(words(phrase), set()).add(place.id)
    assert [ids for ids in owners.values() if len(ids) > 1] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ParsedCaption(None, None, (), None)),
        ("?!… 🐄 \n\0", ParsedCaption(None, None, (), None)),
        ("zorp blick", ParsedCaption(None, None, (), None)),
        ("Three apples and a cow.", ParsedCaption("en", "en-objects", (("apple", 3), ("cow", 1)), None)),
        (
            "the cow, some apples and 2 zorps",
            ParsedCaption("en", "en-objects", (("cow", 1), ("apple", None)), None),
        ),
        ("three very small apples", ParsedCaption("en", "en-objects", (("apple", 3),), None)),
        ("three zorps and cow", ParsedCaption("en", "en-objects", (("cow", 1),), None)),
        pytest.param(
            f"{'9' * 5000} apples and a cow",
            ParsedCaption("en", "en-objects", (("apple", None), ("cow", 1)), None),
            id="a number too long to parse",
        ),
        ("a cow a cow a cow", ParsedCaption("en", "en-objects", (("cow", 1),) * 3, None)),
        # What the place annotators write where the place is unknown; relations of nothing are no style.
        ("A cow is to the left of an apple.", ParsedCaption("en", "en-place", (("cow", 1), ("apple", 1)), None, True)),
        ("Un zorp à gauche d'un blip.", ParsedCaption("fr", None, (), None, True)),
        ("Une vache et des pommes.", ParsedCaption("fr", None, (("cow", 1), ("apple", None)), None)),
        # U+2019 apostrophes, capitals, and an oe ligature spelt apart.
        ("À CÔTÉ D’UNE VACHE", ParsedCaption("fr", "fr-place", (("cow", 1),), None, True)),
    ],
)
def test_free_text(text, expected):
    assert load_parser().parse(text) == expected


def test_words_alike_in_both_languages_follow_the_sentence():
    assert load_parser().parse("Two lions and a car.").language == "en"
    assert load_parser().parse("Deux lions et une voiture.").language == "fr"
    assert load_parser().parse("A lion.").mode == "en-objects"
    assert load_parser().parse("Un lion.").language == "fr"
    alone = load_parser().parse("Lion")
    assert (alone.language, alone.mode, alone.things) == (None, None, (("lion", 1),))


SCENE = Scene("beach", (Thing("apple", 3, slot="left"), Thing("cow", 1, slot="right")))


@pytest.mark.parametrize(
    ("things", "place", "expected"),
    [
        ((("apple", 3), ("cow", 1)), "beach", Score(1.0, 1.0, True, 1.0)),
        ((("cow", 1), ("apple", 2)), None, Score(1.0, 1.0, False, 0.5)),
        ((("cow", 1), ("lion", 1)), "moon", Score(0.5, 0.5, False, 1.0)),
        ((("apple", None), ("lion", 1), ("car", 1), ("cup", 1)), "beach", Score(0.5, 0.25, True, 0.0)),
        # Twice the same concept: named once, and counted rightly only if both mentions are right.
        ((("apple", 3), ("apple", 3)), "beach", Score(0.5, 1.0, True, 1.0)),
        ((("apple", 3), ("apple", 1)), "beach", Score(0.5, 1.0, True, 0.0)),
        ((("lion", 2),), "beach", Score(0.0, 0.0, True, None)),
        ((), None, Score(0.0, 0.0, False, None)),
    ],
)
def test_scores_by_hand(things, place, expected):
    assert score(SCENE, ParsedCaption("en", None, things, place)) == expected
