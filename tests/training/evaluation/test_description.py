"""Labels of hypotheses by what distinguishes them, and their way into a bundle."""

import shutil

import pytest

from lora_mcl.bundle import load_bundle
from training.evaluation.description import describe, label_bundle, language_shares


def one(language="en", words=10.0, typical=(), wins=0.5):
    return {"languages": {language: 1.0} if language else {}, "words": words, "typical": list(typical), "wins": wins}


def labels(*hypotheses):
    return [label for label, _ in describe(hypotheses)]


def test_languages_come_first():
    assert labels(one("en"), one("fr"), one("de")) == ["English", "French", "German"]


def test_then_the_length_of_those_of_one_language():
    assert labels(one("en", 4), one("en", 12), one("fr", 8)) == ["English, short", "English, long", "French"]


def test_lengths_alone():
    assert labels(one(words=4), one(words=12)) == ["Short", "Long"]


def test_words_where_language_and_length_are_the_same():
    assert labels(one(typical=["street"]), one(typical=["people", "a"])) == ["“street”", "“people”"]
    assert labels(one("fr"), one("en", typical=["a"]), one("en", typical=["dog"])) == [
        "French",
        "English",
        "English, “dog”",
    ]


def test_nothing_distinguishes_them():
    assert labels(one(), one()) == ["Hypothesis 1", "Hypothesis 2"]
    assert labels(one(typical=["a"]), one(typical=["a"])) == ["“a”", "“a” (2)"]


def test_a_language_that_only_some_captions_are_in_names_nothing():
    mixed = one() | {"languages": {"en": 0.55, "fr": 0.45}}
    assert labels(mixed, one("fr")) == ["Hypothesis 1", "French"]


def test_description():
    ((_, description),) = describe([one(words=9.14, typical=["un", "chat", "noir", "dort"], wins=0.337)])
    assert description == "Explains 34 % of the references best; 9.1 words a caption, typically “un”, “chat”, “noir”."
    assert describe([one()])[0][1] == "Explains 50 % of the references best; 10.0 words a caption."


def test_languages_of_captions():
    captions = ["Un chien noir court sur la plage avec un enfant.", "A black dog runs along the beach with a child."]
    found = language_shares([captions[0], captions[1], captions[1], "?"])
    assert found["en"] == pytest.approx(2 / 3, abs=1e-3) and found["fr"] == pytest.approx(1 / 3, abs=1e-3)
    assert language_shares([""]) == {}


def test_a_bundle_is_labelled(tiny_bundle, tmp_path):
    shutil.copytree(tiny_bundle.parent, tmp_path / "tiny")
    bundle = load_bundle(tmp_path / "tiny" / tiny_bundle.name)
    label_bundle(bundle, [one("en"), one("fr"), one("de")])
    found = load_bundle(bundle.folder)
    assert [ref.label for ref in found.hypotheses] == ["English", "French", "German"]
    assert found.hypotheses[0].description.startswith("Explains 50 %") and found.baseline == bundle.baseline
    with pytest.raises(ValueError):
        label_bundle(bundle, [one(), one()])
