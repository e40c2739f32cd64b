"""Texts in a reader's language: numbers, phrases and typography."""

import copy

from lora_mcl.phrases import Phrase
from lora_mcl.texts import ENGLISH, FRENCH
from lora_mcl.texts.typography import typographic


def test_numbers():
    template = "{count:,} of {share:.0%}, {value:.2f}, {name}"
    values = {"count": 1234, "share": 0.5, "value": -0.25, "name": "a.b, 5%"}
    assert ENGLISH(template, **values) == "1,234 of 50%, -0.25, a.b, 5%"
    assert FRENCH(template, **values) == "1\u202f234 of 50\u202f%, -0,25, a.b, 5%"
    assert (ENGLISH.number(1.5, ".1f"), FRENCH.number(1.5, ".1f")) == ("1.5", "1,5")


def test_a_phrase_is_its_english_text_and_can_be_translated():
    phrase = Phrase("Captions of {name}", name=Phrase("The clip"))
    assert phrase == "Captions of The clip"
    assert FRENCH(phrase) == "Légendes de L’extrait"
    # ZeroGPU sends them between processes; values may hold braces.
    phrase = Phrase("{name} is empty", name="{odd}.png")
    again = copy.copy(phrase)
    assert (again, again.template, again.values) == (phrase, phrase.template, phrase.values)


def test_french_spaces_and_apostrophes():
    assert typographic("L'image : « oui » ; non ! 5 %") == (
        "L’image\u00a0: «\u00a0oui\u00a0»\u202f; non\u202f! 5\u202f%"
    )
