"""The phrasebook of the grammar: every French caption has an English one that states the same."""

import random
from collections import Counter

from lora_mcl.bundle.bundle import EMBEDDED_BUNDLE
from lora_mcl.phrasebook import PHRASEBOOK_FILE, phrasebook_of
from training.embedded.image.captions import french
from training.embedded.image.captions.french import de_fr, noun_phrase_fr
from training.embedded.image.captions.grammar import load_grammar
from training.embedded.image.captions.parser import load_parser
from training.embedded.image.captions.phrasebook import phrasebook, text
from training.embedded.image.world.lexicon import load_lexicon
from training.embedded.image.world.places import load_places
from training.embedded.image.world.sampler import sample_scene


def test_the_committed_file_is_the_grammar_s():
    assert (EMBEDDED_BUNDLE / PHRASEBOOK_FILE).read_text(encoding="utf-8") == text()


def test_a_translation_states_what_the_caption_states():
    book, grammar, rng = phrasebook_of(phrasebook()), load_grammar(), random.Random(5)
    parse = load_parser().parse
    concepts, places = sorted(grammar.concepts), sorted(grammar.places)
    translated = 0
    for _ in range(1_000):
        caption = grammar.caption(sample_scene(rng, concepts, places), "fr-place", rng)
        english = book.translate(caption)
        if english is None:
            continue
        translated += 1
        stated, said = parse(caption), parse(english)
        assert said.language == "en" and said.place == stated.place, (caption, english)
        assert sorted(said.things) == sorted(stated.things), (caption, english)
    # What is left has a noun that stands for several things.
    assert translated > 900


def test_no_fixed_phrase_of_the_grammar_is_left_out():
    """Every place in every template, and every preposition before every noun phrase of a place."""
    content = phrasebook()
    book = phrasebook_of(content)
    things = {"a": "une vache", "b": "deux chats", "c": "trois pommes"}
    slots = {
        **things,
        **{f"{name}.of": de_fr(text) for name, text in things.items()},
        **{f"{name}.where": where for name, where in zip("abc", french.WHERE.values(), strict=True)},
        **{f"{name}.stands": "se trouve" if name == "a" else "se trouvent" for name in things},
    }
    templates = [
        template
        for table in (french.PLACE_TEMPLATES, french.PLACELESS_TEMPLATES)
        for group in table.values()
        for template in group
    ]
    phrases = {phrase for place in load_places().values() for phrase in (place.fr, place.fr_alt)}
    phrases |= {
        f"{preposition} {place.fr_noun}".replace("' ", "'")
        for preposition in content["prepositions"]
        for place in load_places().values()
        if not preposition.endswith("'") or place.fr_noun.startswith("un")
    }
    nouns = {place.fr_noun for place in load_places().values()}
    untranslated = []
    for template in templates:
        written = template
        for name, filling in slots.items():
            written = written.replace(f"{{{name}}}", filling)
        filled = [written]
        if "{place}" in template:
            filled = [written.replace("{place}", phrase) for phrase in phrases]
        elif "{place_noun}" in template:
            filled = [written.replace("{place_noun}", noun) for noun in nouns]
        untranslated += [caption for caption in filled if book.translate(caption) is None]
    assert not untranslated and len(templates) == 33 and len(phrases) > 300


def test_no_noun_of_the_lexicon_is_left_out_but_ambiguous_ones():
    book = phrasebook_of(phrasebook())
    named = Counter()
    for concept in load_lexicon().values():
        named.update({concept.fr, concept.fr_plural})
    left_out = [
        concept.fr
        for concept in load_lexicon().values()
        if not {noun_phrase_fr(concept, 1), noun_phrase_fr(concept, 2), noun_phrase_fr(concept, 3)} <= set(book.things)
    ]
    assert all(named[noun] > 1 or named[noun + "s"] > 1 for noun in left_out), left_out
    assert len(left_out) < len(load_lexicon()) / 20
