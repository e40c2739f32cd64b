"""The parser of sound captions is the grammar's inverse, and parses parts of other text; scores of small cases."""

import random
import re
from dataclasses import replace
from typing import get_args

import pytest

from training.embedded.audio.annotation.timbre import TIMBRES, Timbre
from training.embedded.audio.captions import grammar
from training.embedded.audio.captions.grammar import MODES, Grammar
from training.embedded.audio.captions.parser import ParsedCaption, load_parser, words
from training.embedded.audio.captions.scoring import score
from training.embedded.audio.evaluation import repetitions
from training.embedded.audio.world.lexicon import SILENCE, load_lexicon
from training.embedded.audio.world.moods import possible_moods, scene_mood
from training.embedded.audio.world.sampler import sample_scene
from training.embedded.audio.world.scene import Event, Precision, Scene

LEXICON = load_lexicon()


def truth(scene: Scene) -> list[tuple[str, int | None]]:
    return [(e.sound, e.times if LEXICON.sounds[e.sound].shape == "short" else None) for e in scene.events]


@pytest.mark.parametrize("mode", MODES)
def test_what_the_annotators_write_is_read_back(mode, monkeypatch):
    monkeypatch.setattr(grammar, "BACKGROUND_MENTIONED", 1.0)
    annotators = Grammar(LEXICON)
    rng = random.Random(4)
    for _ in range(1500):
        scene = sample_scene(rng, LEXICON, LEXICON.events, LEXICON.backgrounds)
        text = annotators.caption(scene, mode, rng)
        parsed = load_parser().parse(text)
        assert (parsed.language, parsed.mode) == (mode[:2], mode), text
        if mode == "en-scene":
            assert parsed.mood == scene_mood(LEXICON, scene), text
            assert parsed.background in (scene.background or SILENCE, None) and not parsed.events, text
            continue
        assert sorted(parsed.events, key=str) == sorted(truth(scene), key=str), text
        assert parsed.background == scene.background, text
        one = score(LEXICON, scene, parsed)
        assert (one.recall, one.precision, one.family_recall, one.family_precision) == (1, 1, 1, 1)
        assert one.count_right in (1, None) and one.background_right in (1, None)


def test_less_precise_captions_are_read_back():
    annotators, rng = Grammar(LEXICON), random.Random(8)
    for _ in range(1500):
        drawn = sample_scene(rng, LEXICON, LEXICON.events, LEXICON.backgrounds)
        events = [
            replace(
                event,
                precision=rng.choice(get_args(Precision)),
                timbre=rng.choice(TIMBRES),
                tempo=rng.choice(("slow", "fast", None)) if LEXICON.sounds[event.sound].kind == "music" else None,
            )
            for event in drawn.events
        ]
        scene = replace(drawn, events=tuple(events))
        for mode in MODES:
            text = annotators.caption(scene, mode, rng)
            parsed = load_parser().parse(text)
            assert parsed.mode == mode, text
            assert {sound for sound, _ in parsed.events} <= {e.sound for e in events if e.precision != "family"}, text
            assert set(parsed.timbres) <= {e.timbre for e in events if e.precision != "sound"}, text
            assert parsed.events or parsed.families or parsed.timbres or mode == "en-scene", text
            assert score(LEXICON, scene, parsed).nothing_wrong, text
            assert not parsed.repeated, text
            assert not re.search(r"(noise|sound|tone) a ", text), text


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("", ParsedCaption(None, None)),
        ("Zorps fnord.", ParsedCaption(None, None)),
        ("A dog barks loudly three times.", ParsedCaption("en", "en-events", (("dog", 3),), ("animal",))),
        ("The dog barking while a cat meows", ParsedCaption("en", "en-events", (("dog", 1), ("cat", 1)), ("animal",))),
        ("Rain falls.", ParsedCaption("en", "en-events", background="rain")),
        (
            "L'eau coule et le chien aboie deux fois",
            ParsedCaption("fr", "fr-events", (("dog", 2),), ("animal",), background="stream"),
        ),
        (
            "On entend quelque chose qui fait un bruit bref et grave, puis un chien qui aboie.",
            ParsedCaption("fr", "fr-events", (("dog", 1),), ("animal",), (Timbre(-1, -1, -1),)),
        ),
        ("Le bruit d'épées qui s'entrechoquent.", ParsedCaption("fr", "fr-events", (("sword", 1),), ("weapon",))),
        ("A calm scene by a stream.", ParsedCaption("en", "en-scene", background="stream", mood="peaceful")),
        ("A calm scene where a dog barks.", ParsedCaption("en", None, (("dog", 1),), ("animal",), mood="peaceful")),
    ],
)
def test_some_parseds(text, parsed):
    assert load_parser().parse(text) == parsed


def test_words_separate_at_apostrophes_and_unify_ligatures():
    assert words("Quelqu'un, du Cœur !") == ("quelqu", "un", "du", "coeur")


SCENE = Scene("rain", (Event("dog", 2), Event("cat"), Event("saw")))
RIGHT = ParsedCaption(
    "en", "en-events", (("dog", 2), ("cat", 1), ("saw", None)), ("animal", "machine"), background="rain"
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (1, 1, 1, 1, 1, 1, None)),
        ({"events": (("dog", 3), ("pig", 1))}, (1 / 3, 1 / 2, 1, 1, 1, 0, None)),
        ({"events": (("dog", 2), ("dog", 3))}, (1 / 3, 1, 1, 1, 1, 0, None)),
        ({"events": (), "families": ("animal", "bird")}, (0, 0, 1 / 2, 1 / 2, 1, None, None)),
        ({"events": (), "families": (), "background": None}, (0, 0, 0, 0, None, None, None)),
        ({"background": SILENCE, "mood": "tense"}, (1, 1, 1, 1, 0, 1, 0)),
        ({"mood": "busy"}, (1, 1, 1, 1, 1, 1, 1)),
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
    assert score(LEXICON, scene, ParsedCaption("en", "en-events", background="rain")).recall == 1
    named = score(LEXICON, scene, ParsedCaption("en", "en-events", (("dog", 1),), ("animal",), background="rain"))
    assert (named.recall, named.precision, named.family_recall, named.background_right) == (0, 0, 0, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A dog barks twice while rain falls.", 1),
        ("An animal makes a noise.", 1),
        ("Something makes a noise while rain falls.", 1),
        ("Something makes a long low noise.", 1),
        ("Something makes a short noise.", 1),  # the dog's
        ("Something makes a short low sound.", 1),
        ("Something makes a high-pitched noise.", 0),
        ("A storm scene by a stream.", 0),
        ("A dog barks and then a cat meows.", 0),
        ("A bird makes a noise.", 0),
        ("A dog barks, with wind blowing in the background.", 0),
        ("Quelque chose fait un bruit bref pendant que la pluie tombe.", 1),
        ("Zorps fnord.", 0),
        ("A busy scene on a rainy day.", 1),
        ("A peaceful scene on a rainy day.", 1),
        ("An eerie scene on a rainy day.", 0),
    ],
)
def test_nothing_wrong(text, expected):
    """It may leave out what it likes; what nobody can read is not right either."""
    bark, saw = Timbre(-1, -1, 0), Timbre(1, -1, -1)
    scene = Scene("rain", (Event("dog", 2, timbre=bark), Event("saw", timbre=saw)))
    assert score(LEXICON, scene, load_parser().parse(text)).nothing_wrong == expected


def test_a_caption_without_content_is_not_informative():
    scene = Scene("rain", (Event("dog", timbre=Timbre(-1, -1, 0)),))
    found = {text: score(LEXICON, scene, load_parser().parse(text)) for text in INFORMATIVE}
    assert all(one.nothing_wrong == (text != "A cat meows.") for text, one in found.items())
    assert {text: one.informative for text, one in found.items()} == INFORMATIVE


INFORMATIVE = {
    "Something makes a sound.": 0,
    "A peaceful scene of sounds hard to name.": 0,
    "A cat meows.": 0,
    "A dog barks.": 1,
    "An animal makes a noise.": 1,
    "Something makes a sound while rain falls.": 1,
}


def test_the_mood_of_any_sound_is_right():
    assert possible_moods(LEXICON, Scene("rain", (Event("dog"), Event("scream")))) == {"peaceful", "lively", "tense"}
    assert possible_moods(LEXICON, Scene(None, (Event("organ", tempo="fast"),))) == {"plain", "lively"}


def test_a_clause_that_is_stated_twice():
    parse = load_parser().parse
    for text in ("A dog barks, then a dog barks.", "Un chien aboie, puis un chien qui aboie deux fois."):
        assert parse(text).repeated
    twice = "Something makes a short low noise before something makes a short low noise."
    assert parse(twice).repeated and parse("An animal makes a noise and an animal makes a noise.").repeated
    for text in ("A dog barks twice.", "A dog barks, then an animal makes a noise.", "", "A calm scene in a forest."):
        assert not parse(text).repeated
    rows = [
        {"beam": ["A dog barks.", "A dog barks, then a dog barks."], "caption-gate/0": ["A cat meows."]},
        {"beam": ["A dog barks.", "Rain falls."], "caption-gate/0": ["A cat meows, then a cat meows."]},
    ]
    assert repetitions(rows, tuple(rows[0])) == {"beam": 0.25, "caption-gate/0": 0.5}
