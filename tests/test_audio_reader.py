"""The reader of sound captions is the grammar's inverse, and makes the best of anything else; scores by hand."""

import random
from dataclasses import replace

import pytest

from training.audio import grammar
from training.audio.grammar import MODES, Grammar
from training.audio.lexicon import SILENCE, load_lexicon
from training.audio.moods import scene_mood
from training.audio.reader import Reading, read, words
from training.audio.sampler import sample_scene
from training.audio.scene import Event, Scene
from training.audio.scoring import score

LEXICON = load_lexicon()


def truth(scene: Scene) -> list[tuple[str, int | None]]:
    return [(e.sound, e.times if LEXICON.sounds[e.sound].shape == "short" else None) for e in scene.events]


@pytest.mark.parametrize("mode", MODES)
def test_what_the_annotators_write_is_read_back(mode, monkeypatch):
    monkeypatch.setattr(grammar, "BACKGROUND_MENTIONED", 1.0)
    annotators = Grammar(replace(LEXICON, vague=dict.fromkeys(LEXICON.sounds, 0.0)))
    rng = random.Random(4)
    for _ in range(1500):
        scene = sample_scene(rng, LEXICON, LEXICON.events, LEXICON.beds)
        text = annotators.caption(scene, mode, rng)
        reading = read(text)
        assert (reading.language, reading.mode) == (mode[:2], mode), text
        if mode == "en-scene":
            assert reading.mood == scene_mood(LEXICON, scene), text
            assert reading.background in (scene.background or SILENCE, None) and not reading.events, text
            continue
        assert sorted(reading.events, key=str) == sorted(truth(scene), key=str), text
        assert reading.background == scene.background, text
        one = score(LEXICON, scene, reading)
        assert (one.recall, one.precision, one.family_recall, one.family_precision) == (1, 1, 1, 1)
        assert one.count_right in (1, None) and one.background_right in (1, None)


def test_vague_captions_name_families_once():
    annotators = Grammar(replace(LEXICON, vague=dict.fromkeys(LEXICON.sounds, 1.0)))
    scene = Scene(None, (Event("dog", 2), Event("saw"), Event("cat")))
    seen, said = set(), []
    for mode in ("en-events", "fr-events"):
        for seed in range(20):
            reading = read(annotators.caption(scene, mode, random.Random(seed)))
            assert reading.mode == mode and set(reading.families) <= {"animal", "machine"}
            seen |= set(reading.families) | {sound for sound, _ in reading.events}
            said.append(len(reading.families) + len(reading.events))
    # What was said already is not said again: then a sound is named.
    assert {"animal", "machine", "cat"} <= seen and min(said) < 3


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("", Reading(None, None)),
        ("Zorps fnord.", Reading(None, None)),
        ("A dog barks loudly three times.", Reading("en", "en-events", (("dog", 3),), ("animal",))),
        ("The dog barking while a cat meows", Reading("en", "en-events", (("dog", 1), ("cat", 1)), ("animal",))),
        ("Rain falls.", Reading("en", "en-events", (), (), "rain")),
        ("L'eau coule et le chien aboie deux fois", Reading("fr", "fr-events", (("dog", 2),), ("animal",), "stream")),
        ("Le bruit d'épées qui s'entrechoquent.", Reading("fr", "fr-events", (("sword", 1),), ("weapon",))),
        ("A calm scene by a stream.", Reading("en", "en-scene", (), (), "stream", "peaceful")),
        ("A calm scene where a dog barks.", Reading("en", None, (("dog", 1),), ("animal",), None, "peaceful")),
    ],
)
def test_some_readings(text, reading):
    assert read(text) == reading


def test_words_separate_at_apostrophes_and_unify_ligatures():
    assert words("Quelqu'un, du Cœur !") == ("quelqu", "un", "du", "coeur")


SCENE = Scene("rain", (Event("dog", 2), Event("cat"), Event("saw")))
RIGHT = Reading("en", "en-events", (("dog", 2), ("cat", 1), ("saw", None)), ("animal", "machine"), "rain")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (1, 1, 1, 1, 1, 1, None)),
        ({"events": (("dog", 3), ("pig", 1))}, (1 / 3, 1 / 2, 1, 1, 1, 0, None)),
        ({"events": (("dog", 2), ("dog", 3))}, (1 / 3, 1, 1, 1, 1, 0, None)),
        ({"events": (), "families": ("animal", "bird")}, (0, 0, 1 / 2, 1 / 2, 1, None, None)),
        ({"events": (), "families": (), "background": None}, (0, 0, 0, 0, None, None, None)),
        ({"background": SILENCE, "mood": "busy"}, (1, 1, 1, 1, 0, 1, 0)),
        ({"mood": "lively"}, (1, 1, 1, 1, 1, 1, 1)),
    ],
)
def test_scores(changes, expected):
    one = score(LEXICON, SCENE, replace(RIGHT, **changes))
    assert (
        one.recall,
        one.precision,
        one.family_recall,
        one.family_precision,
        one.background_right,
        one.count_right,
        one.mood_right,
    ) == expected


def test_scores_of_a_background_alone():
    scene = Scene("rain", ())
    assert score(LEXICON, scene, Reading("en", "en-events", (), (), "rain")).recall == 1
    named = score(LEXICON, scene, Reading("en", "en-events", (("dog", 1),), ("animal",), "rain"))
    assert (named.recall, named.precision, named.family_recall, named.background_right) == (0, 0, 0, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A dog barks twice while rain falls.", 1),
        ("An animal makes a noise.", 1),
        ("Something makes a noise while rain falls.", 1),
        ("A storm scene by a stream.", 0),
        ("A dog barks and then a cat meows.", 0),
        ("A bird makes a noise.", 0),
        ("A dog barks, with wind blowing in the background.", 0),
        ("Quelque chose fait du bruit pendant que la pluie tombe.", 1),
        ("Zorps fnord.", 0),
    ],
)
def test_nothing_wrong_is_said(text, expected):
    """It may leave out what it likes; what nobody can read is not right either."""
    scene = Scene("rain", (Event("dog", 2), Event("saw")))
    assert score(LEXICON, scene, read(text)).nothing_wrong == expected
