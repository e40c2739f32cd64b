"""The phrasebook of the grammar of sounds: every French caption has an English one that states the same."""

import random

import pytest

from lora_mcl.bundle.bundle import EMBEDDED_AUDIO_BUNDLE
from lora_mcl.clause_phrasebook import clause_phrasebook_of
from lora_mcl.phrasebook import PHRASEBOOK_FILE, load_phrasebook
from training.embedded.audio.captions import english, french
from training.embedded.audio.captions.grammar import load_grammar, sentence
from training.embedded.audio.captions.phrasebook import phrasebook, text
from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.audio.world.sampler import sample_scene


@pytest.fixture(scope="module")
def book():
    return clause_phrasebook_of(phrasebook())


def test_the_committed_file_is_the_grammar_s():
    assert (EMBEDDED_AUDIO_BUNDLE / PHRASEBOOK_FILE).read_text(encoding="utf-8") == text()


def test_no_caption_of_the_grammar_is_left_out(book):
    grammar, rng = load_grammar(), random.Random(5)
    lexicon = grammar.lexicon
    backgrounds = [sound.id for sound in lexicon.sounds.values() if sound.kind == "background"]
    sounds = [sound.id for sound in lexicon.sounds.values() if sound.kind != "background"]
    scenes = [sample_scene(rng, lexicon, sounds, backgrounds) for _ in range(2_000)]
    captions = [grammar.caption(scene, "fr-events", rng) for scene in scenes]
    untranslated = [caption for caption in captions if book.translate(caption) is None]
    assert len(untranslated) < len(captions) / 50, untranslated[:5]


def test_no_sound_is_left_out(book):
    left_out = [
        sound.id
        for sound in load_lexicon().sounds.values()
        if book.translate(f"{french.clause_fr(sound.clause)}.") is None
    ]
    assert left_out == []


def test_a_translation_names_the_same_sounds(book):
    """Each clause in its own English, with its adverbs in their English order."""
    for sound in load_lexicon().sounds.values():
        for times in french.TIMES:
            for loudness, louder in zip((*french.DISTANCE, "bruyamment"), (*english.DISTANCE, "loudly"), strict=True):
                clause = french.clause_fr(sound.clause, times=times, loudness=loudness)
                expected = english.clause_en(sound.clause, times=times, loudness=louder)
                assert book.translate(f"{clause}.") == sentence(str(expected))
                assert book.translate(f"on entend {clause.rel}.") == f"You can hear {expected.ing}."


def test_the_embedded_model_has_one():
    book = load_phrasebook(EMBEDDED_AUDIO_BUNDLE)
    assert (book.source, book.target) == ("fr", "en")
    assert book.translate("Un chien aboie deux fois au loin pendant que la pluie tombe.") == (
        "A dog barks twice in the distance while rain falls."
    )
    assert book.translate("On entend un chien qui aboie, puis un chat qui miaule.") == (
        "You can hear a dog barking, then a cat meowing."
    )
    for other in ("", "Un chien.", "A dog barks.", "Un chien aboie quatre fois.", "Un chien aboie. Il dort."):
        assert book.translate(other) is None
