"""How different captions are: wordings, languages and shared content words, by hand."""

import pytest

from lora_mcl.variety import Variety, content_words, overlap, variety


def test_equal_short_captions_are_one_wording():
    assert variety(["A koala.", "a koala", "A koala!"], ["en"] * 3) == Variety(3, 1, ("en",) * 3, 1.0, 3, 0)


def test_a_translation_is_no_variety():
    found = variety(["Two swans.", "Deux cygnes."], ["en", "fr"])
    # Two wordings, but by the language alone: nothing is left to compare.
    assert (found.wordings, found.shared, found.pairs, found.pairs_across) == (2, None, 1, 1)


def test_only_pairs_in_one_language_are_compared():
    captions = ["two sheep and a bicycle", "deux moutons et un vélo", "a bicycle and a sheep on a beach"]
    found = variety(captions, ["en", "fr", "en"])
    # {two, sheep, bicycl} and {bicycl, sheep, beach}: two of four.
    assert (found.shared, found.pairs, found.pairs_across) == (0.5, 3, 2)
    # A caption whose language is not known is compared with all.
    assert variety(captions, [None, "fr", "en"]).pairs_across == 1


def test_content_words_are_stems_without_function_words():
    assert content_words("The cats are on a table.", "en") == {"cat", "tabl"}
    assert content_words("Des chevaux à gauche d’un vélo", "fr") == {"cheval", "gauch", "vélo"}
    assert content_words("Eine Katze", "de") == {"ein", "katz"}
    assert content_words("a cat", None) == {"a", "cat"}


def test_overlap():
    assert overlap("a cat", "cats", "en") == 1.0
    assert overlap("a cat", "a dog", "en") == 0.0
    assert overlap("a cat and a dog", "a dog", "en") == 0.5
    assert overlap("", "", None) == 1.0 and overlap("the", "an", "en") == 0.0


def test_too_few_captions_or_languages():
    assert variety(["a cat"], ["en"]) is None and variety([], []) is None
    with pytest.raises(ValueError, match="2 captions need as many languages, not 1"):
        variety(["a", "b"], ["en"])
