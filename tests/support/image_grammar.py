"""A small grammar of the image captions: some nouns with their irregularities, two places."""

from tests.support.draws import Draw
from training.embedded.image.captions.grammar import Grammar, templates_for
from training.embedded.image.world.lexicon import Concept
from training.embedded.image.world.places import Place


def concept(en, article, en_plural, fr, gender, fr_plural, elides=False):
    return Concept(
        id=en.replace(" ", "_"),
        en=en,
        article=article,
        en_plural=en_plural,
        fr=fr,
        gender=gender,
        fr_plural=fr_plural,
        elides=elides,
        group="other",
        size=1.0,
        emoji="1F404",
        tuxpaint=(),
        imagenet=(),
        coco="",
        role="sprite",
    )


COW = concept("cow", "a", "cows", "vache", "f", "vaches")
OWL = concept("owl", "an", "owls", "hibou", "m", "hiboux")
SHEEP = concept("sheep", "a", "sheep", "mouton", "m", "moutons")
HOURGLASS = concept("hourglass", "an", "hourglasses", "sablier", "m", "sabliers")
UNICORN = concept("unicorn", "a", "unicorns", "licorne", "f", "licornes")
SCISSORS = concept("pair of scissors", "a", "pairs of scissors", "paire de ciseaux", "f", "paires de ciseaux")
ELEPHANT = concept("elephant", "an", "elephants", "éléphant", "m", "éléphants", elides=True)
HORSE = concept("horse", "a", "horses", "cheval", "m", "chevaux")
TRUCK = concept("fire truck", "a", "fire trucks", "camion de pompiers", "m", "camions de pompiers")
APPLE = concept("apple", "an", "apples", "pomme", "f", "pommes")
EYE = concept("eye", "an", "eyes", "œil", "m", "yeux", elides=True)
WHEEL = concept("big wheel", "a", "big wheels", "grande roue", "f", "grandes roues")
CONCEPTS = {c.id: c for c in (COW, OWL, SHEEP, HOURGLASS, UNICORN, SCISSORS, ELEPHANT, HORSE, TRUCK, APPLE, EYE, WHEEL)}
MOON = Place("moon", "on the moon", "on the Moon", "the moon", "sur la lune", "sur la Lune", "la lune", "outdoor")
BEACH = Place("beach", "on a beach", "on a beach", "a beach", "sur une plage", "sur une plage", "une plage", "outdoor")
GRAMMAR = Grammar(CONCEPTS, {"moon": MOON, "beach": BEACH})


def all_templates(scene, mode):
    count = len(templates_for(scene, mode))
    return tuple(GRAMMAR.caption(scene, mode, Draw(0.0), template=index) for index in range(count))
