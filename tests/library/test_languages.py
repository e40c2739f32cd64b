"""The language of captions."""

import pytest

from lora_mcl.languages import LANGUAGES, language_of, languages_of


@pytest.mark.parametrize(
    ("caption", "code"),
    [
        ("two sheep and a red bicycle", "en"),
        ("On a beach, two sheep stand to the left of a red bicycle.", "en"),
        ("Sur une plage, deux moutons se tiennent à gauche d'un vélo rouge.", "fr"),
        ("Le bruit d'une batterie qui joue.", "fr"),
        ("Eine Katze liegt auf dem Tisch.", "de"),
        ("A koala.", "en"),
        ("A cat.", "en"),
        ("Un chat.", "fr"),
        ("Une table.", "fr"),
        ("Trois lions.", "fr"),
        ("Three lions.", "en"),
        ("Voici un chien.", "fr"),
        ("Un piano", "it"),  # an article of both; alone, Italian is the likelier guess
        ("Dog", None),
        ("", None),
        ("12 34", None),
    ],
)
def test_the_language_or_none_where_unsure(caption, code):
    assert language_of(caption) == code


def test_a_short_caption_has_the_likeliest_language_of_the_others():
    french = "Sur une plage, deux moutons se tiennent à gauche d'un vélo rouge."
    english = "On a beach, two sheep stand to the left of a red bicycle."
    assert languages_of(["A cow.", french, english]) == ("en", "fr", "en")
    assert languages_of(["A cow.", french]) == ("en", "fr")
    assert languages_of(["Un piano", french]) == ("fr", "fr")
    assert languages_of(["Dog", french, english]) == ("en", "fr", "en")
    assert languages_of(["Dog", french]) == (None, "fr")
    assert languages_of([]) == ()


def test_every_code_has_a_name():
    assert all(len(code) == 2 and name.istitle() for code, name in LANGUAGES.items())
