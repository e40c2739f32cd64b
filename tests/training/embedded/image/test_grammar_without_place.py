"""What the annotators write of a picture whose place is unknown, and how that is parsed."""

import random

import pytest

from tests.support.draws import sentences
from tests.support.image_grammar import all_templates
from training.embedded.image.captions.grammar import MODES, caption, load_grammar
from training.embedded.image.captions.parser import load_parser
from training.embedded.image.world.sampler import sample_scene
from training.embedded.image.world.scene import Scene, Thing


def placeless(scene):
    return Scene(None, scene.things)


PLACE_ANNOTATORS_LEAVE_OUT_A_PLACE_THAT_IS_UNKNOWN = {
    (Scene(None, (Thing("owl"),)), "en-place"): """
        An owl is in the middle.
        There is an owl in the middle.
        An owl can be seen in the middle.
    """,
    (Scene(None, (Thing("eye", 2, "normal", "left"),)), "fr-place"): """
        Deux yeux se trouvent à gauche.
        Il y a deux yeux à gauche.
        On voit deux yeux à gauche.
        Deux yeux à gauche.
    """,
    (Scene(None, (Thing("cow", slot="left"), Thing("elephant", slot="middle"))), "en-place"): """
        A cow is to the left of an elephant.
        An elephant is to the right of a cow.
        A cow is on the left and an elephant is in the middle.
        A cow is beside an elephant.
    """,
    (Scene(None, (Thing("cow", slot="left"), Thing("elephant", slot="middle"))), "fr-place"): """
        Une vache se trouve à gauche d'un éléphant.
        Il y a un éléphant à droite d'une vache.
        On voit une vache à gauche et un éléphant au milieu.
        Une vache à côté d'un éléphant.
    """,
    (Scene(None, (Thing("owl", slot="left"), Thing("eye"), Thing("cow", slot="right"))), "en-place"): """
        An eye is between an owl and a cow.
        From left to right: an owl, an eye and a cow.
        An owl is to the left of an eye and a cow.
        A cow is to the right of an owl and an eye.
    """,
    (Scene(None, (Thing("owl", slot="left"), Thing("eye"), Thing("cow", slot="right"))), "fr-place"): """
        Un œil se trouve entre un hibou et une vache.
        De gauche à droite : un hibou, un œil et une vache.
        Il y a un hibou à gauche d'un œil et d'une vache.
        Une vache à droite d'un hibou et d'un œil.
    """,
}


@pytest.mark.parametrize(("case", "expected"), PLACE_ANNOTATORS_LEAVE_OUT_A_PLACE_THAT_IS_UNKNOWN.items())
def test_place_annotators_leave_out_a_place_that_is_unknown(case, expected):
    assert all_templates(*case) == sentences(expected)


@pytest.mark.parametrize("mode", MODES)
def test_captions_without_a_place_are_read_as_their_annotators(mode):
    grammar, rng = load_grammar(), random.Random(2)
    concepts, places = sorted(grammar.concepts), sorted(grammar.places)
    for _ in range(500):
        scene = placeless(sample_scene(rng, concepts, places))
        parsed = load_parser().parse(caption(scene, mode, rng))
        assert (parsed.mode, parsed.place) == (mode, None)
        assert sorted(parsed.things) == sorted((thing.concept, thing.count) for thing in scene.things)
