"""The phrasebook of the grammar: every French caption has an English one that states the same."""

import random

from lora_mcl.bundle.bundle import EMBEDDED_BUNDLE
from lora_mcl.phrasebook import PHRASEBOOK_FILE, phrasebook_of
from training.embedded.image.captions.grammar import load_grammar
from training.embedded.image.captions.parser import load_parser
from training.embedded.image.captions.phrasebook import phrasebook, text
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
