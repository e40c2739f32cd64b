"""The annotators of sounds: every template, word by word, and what must hold of any caption."""

import random
import re

import pytest

from tests.support.draws import Draw, sentences
from training.embedded.audio.captions import english, french
from training.embedded.audio.captions.grammar import (
    MODES,
    Grammar,
    caption,
    load_grammar,
    texture,
)
from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.audio.world.moods import scene_mood
from training.embedded.audio.world.sampler import sample_scene
from training.embedded.audio.world.scene import Event, Scene

GRAMMAR: Grammar = load_grammar()
LEXICON = load_lexicon()


ONE = Scene(None, (Event("dog", 2, "soft"),))
LONE_TUNE = Scene(None, (Event("piano", tempo="slow"),))
PAIR = Scene(None, (Event("dog", 2), Event("applause", 1, "loud")))
OVER = Scene(None, (Event("thunder"), Event("footsteps")), "together")
THREE = Scene(None, (Event("bell", 3), Event("owl"), Event("glass_break")))
CHORD = Scene(None, (Event("bell", 3), Event("owl"), Event("glass_break")), "together")


def all_templates(scene: Scene, mode: str, value: float = 0.5) -> tuple[str, ...]:
    language = french if mode == "fr-events" else english
    if mode == "en-scene":
        count = len(english.SCENE_TEMPLATES)
    else:
        count = len(
            language.EVENT_TEMPLATES[scene.layout, len(scene.events)] if scene.events else language.BACKGROUND_ALONE
        )
    return tuple(GRAMMAR.caption(scene, mode, Draw(value), template=index) for index in range(count))


ENGLISH_EVENTS = {
    ONE: """
        A dog barks twice in the distance.
        A dog barking twice in the distance.
        The sound of a dog barking twice in the distance.
        You can hear a dog barking twice in the distance.
        We hear a dog barking twice in the distance.
    """,
    PAIR: """
        A dog barks twice, then people applaud loudly.
        A dog barks twice before people applaud loudly.
        A dog barking twice followed by people applauding loudly.
        First a dog barks twice, then people applaud loudly.
        You can hear a dog barking twice, then people applauding loudly.
        People applaud loudly after a dog barks twice.
    """,
    OVER: """
        Thunder rumbles and someone walks at the same time.
        Thunder rumbling and someone walking together.
        Thunder rumbles as someone walks.
        We hear both thunder rumbling and someone walking.
        You can hear thunder rumbling over someone walking.
    """,
    THREE: """
        A bell tolls three times, then an owl hoots, then glass breaks.
        First a bell tolls three times, then an owl hoots and finally glass breaks.
        A bell tolling three times followed by an owl hooting and glass breaking.
        You can hear a bell tolling three times, then an owl hooting, then glass breaking.
        A bell tolls three times, after that an owl hoots, and in the end glass breaks.
    """,
    CHORD: """
        A bell tolls three times, an owl hoots and glass breaks at the same time.
        A bell tolling three times, an owl hooting and glass breaking together.
        We hear a bell tolling three times, an owl hooting and glass breaking all at once.
        A bell tolls three times as an owl hoots and glass breaks.
        You can hear a bell tolling three times over an owl hooting and glass breaking.
    """,
    Scene("rain", ()): """
        Rain falls.
        Rain falling.
        The sound of rain falling.
        You can hear rain falling.
    """,
}


@pytest.mark.parametrize(("scene", "expected"), ENGLISH_EVENTS.items())
def test_english_events(scene, expected):
    assert all_templates(scene, "en-events") == sentences(expected)


FRENCH_EVENTS = {
    ONE: """
        Un chien aboie deux fois au loin.
        On entend un chien qui aboie deux fois au loin.
        Voici un chien qui aboie deux fois au loin.
        Le bruit d'un chien qui aboie deux fois au loin.
        Il y a un chien qui aboie deux fois au loin.
    """,
    PAIR: """
        Un chien aboie deux fois, puis des gens applaudissent bruyamment.
        Un chien aboie deux fois, ensuite des gens applaudissent bruyamment.
        D'abord un chien aboie deux fois, puis des gens applaudissent bruyamment.
        On entend un chien qui aboie deux fois, puis des gens qui applaudissent bruyamment.
        Des gens applaudissent bruyamment après le bruit d'un chien qui aboie deux fois.
        Le bruit d'un chien qui aboie deux fois, puis de gens qui applaudissent bruyamment.
    """,
    OVER: """
        Le tonnerre gronde et quelqu'un marche en même temps.
        Le tonnerre gronde tandis que quelqu'un marche.
        On entend à la fois le tonnerre qui gronde et quelqu'un qui marche.
        Le bruit du tonnerre qui gronde et de quelqu'un qui marche.
        Le tonnerre gronde alors que quelqu'un marche.
    """,
    THREE: """
        Une cloche sonne trois fois, puis un hibou hulule, puis du verre se casse.
        D'abord une cloche sonne trois fois, puis un hibou hulule et enfin du verre se casse.
        On entend une cloche qui sonne trois fois, puis un hibou qui hulule, puis du verre qui se casse.
        Le bruit d'une cloche qui sonne trois fois, puis d'un hibou qui hulule et enfin de verre qui se casse.
        Une cloche sonne trois fois, ensuite un hibou hulule et à la fin du verre se casse.
    """,
    CHORD: """
        Une cloche sonne trois fois, un hibou hulule et du verre se casse en même temps.
        Une cloche sonne trois fois tandis qu'un hibou hulule et que du verre se casse.
        On entend à la fois une cloche qui sonne trois fois, un hibou qui hulule et du verre qui se casse.
        Le bruit d'une cloche qui sonne trois fois, d'un hibou qui hulule et de verre qui se casse.
        Une cloche sonne trois fois alors qu'un hibou hulule et que du verre se casse.
    """,
    Scene("stream", ()): """
        De l'eau coule.
        On entend de l'eau qui coule.
        Le bruit d'eau qui coule.
        Voici de l'eau qui coule.
    """,
}


@pytest.mark.parametrize(("scene", "expected"), FRENCH_EVENTS.items())
def test_french_events(scene, expected):
    assert all_templates(scene, "fr-events") == sentences(expected)


ENGLISH_SCENES = {
    ONE: """
        A lively scene in a silent room, filled with animal sounds.
        In a silent room, a lively scene of animal sounds.
        The mood is lively: animal sounds in a silent room, with a repeated sound.
        A lively atmosphere in a silent room, with a repeated sound.
        This recording feels lively: animal sounds in a silent room.
        A lively recording made in a silent room, with a repeated sound.
        Animal sounds in a silent room; the atmosphere is lively.
    """,
    Scene("sea", (Event("owl"), Event("bell", 2), Event("wolf"))): """
        An eerie scene at the seaside, filled with bird calls, signal tones and animal sounds.
        At the seaside, an eerie scene of bird calls, signal tones and animal sounds.
        The mood is eerie: bird calls, signal tones and animal sounds at the seaside, with separate sounds.
        An eerie atmosphere at the seaside, with separate sounds.
        This recording feels eerie: bird calls, signal tones and animal sounds at the seaside.
        An eerie recording made at the seaside, with separate sounds.
        Bird calls, signal tones and animal sounds at the seaside; the atmosphere is eerie.
    """,
    Scene("rain", ()): """
        A peaceful scene in rainy weather, filled with nothing but ambience.
        In rainy weather, a peaceful scene of nothing but ambience.
        The mood is peaceful: nothing but ambience in rainy weather, without any event.
        A peaceful atmosphere in rainy weather, without any event.
        This recording feels peaceful: nothing but ambience in rainy weather.
        A peaceful recording made in rainy weather, without any event.
        Nothing but ambience in rainy weather; the atmosphere is peaceful.
    """,
}


@pytest.mark.parametrize(("scene", "expected"), ENGLISH_SCENES.items())
def test_english_scenes(scene, expected):
    assert all_templates(scene, "en-scene") == sentences(expected)


def test_backgrounds_are_added_in_three_ways():
    scene = Scene("fire", (Event("cat"),))
    english_ones, french_ones = set(), set()
    for seed in range(300):
        english_ones.add(GRAMMAR.caption(scene, "en-events", random.Random(seed), 0))
        french_ones.add(GRAMMAR.caption(scene, "fr-events", random.Random(seed), 0))
    assert {
        "A cat meows.",
        "A cat meows while a fire crackles.",
        "A cat meows, with a fire crackling in the background.",
        "A cat meows; in the background, a fire crackles.",
    } == {text for text in english_ones if "cat" in text}
    assert {
        "Un chat miaule.",
        "Un chat miaule pendant qu'un feu crépite.",
        "Un chat miaule, avec un feu qui crépite en fond sonore.",
        "Un chat miaule ; en fond, un feu crépite.",
    } == {text for text in french_ones if "chat" in text}


@pytest.mark.parametrize(
    ("scene", "en", "fr"),
    [
        (LONE_TUNE, "A piano plays a slow tune.", "Un piano joue un air lent."),
        (
            Scene(None, (Event("drums", tempo="fast"),)),
            "Drums play a fast rhythm.",
            "Une batterie joue un rythme rapide.",
        ),
        (Scene(None, (Event("choir", tempo="fast"),)), "A choir sings a fast tune.", "Un chœur chante un air rapide."),
        (Scene(None, (Event("harp"),)), "A harp plays.", "Une harpe joue."),
        (
            Scene(None, (Event("bell", 2, "loud"),)),
            "A bell tolls loudly twice.",
            "Une cloche sonne bruyamment deux fois.",
        ),
    ],
)
def test_tunes_and_adverbs(scene, en, fr):
    assert GRAMMAR.caption(scene, "en-events", Draw(), 0) == en
    assert GRAMMAR.caption(scene, "fr-events", Draw(), 0) == fr


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("un chien", "d'un chien"),
        ("une vache", "d'une vache"),
        ("le tonnerre", "du tonnerre"),
        ("la pluie", "de la pluie"),
        ("l'électricité", "de l'électricité"),
        ("des gens", "de gens"),
        ("des épées", "d'épées"),
        ("de l'eau", "d'eau"),
        ("de la vapeur", "de vapeur"),
        ("du verre", "de verre"),
        ("quelqu'un", "de quelqu'un"),
    ],
)
def test_de_contracts_and_elides(phrase, expected):
    assert french.de_fr(phrase) == expected


def test_que_elides_before_a_vowel():
    assert french.que_fr("un chien aboie") == "qu'un chien aboie"
    assert french.que_fr("la pluie tombe") == "que la pluie tombe"


def test_the_strongest_sound_makes_the_mood():
    assert scene_mood(LEXICON, Scene("rain", (Event("cow"),))) == "peaceful"
    assert scene_mood(LEXICON, Scene("rain", (Event("cow"), Event("scream")))) == "tense"
    assert scene_mood(LEXICON, Scene(None, (Event("man_en"),))) == "plain"
    assert scene_mood(LEXICON, Scene(None, (Event("organ", tempo="fast"),))) == "lively"
    assert scene_mood(LEXICON, Scene(None, (Event("organ", tempo="slow"),))) == "peaceful"


def test_textures():
    assert [texture(scene) for scene in (ONE, LONE_TUNE, PAIR, CHORD, Scene("rain", ()))] == [
        "repeated",
        "single",
        "sequence",
        "together",
        "none",
    ]


def test_an_empty_scene_is_refused():
    with pytest.raises(ValueError, match="neither events nor a background"):
        caption(Scene(None, ()), "en-events", random.Random(0))


def test_scenes_check_themselves():
    with pytest.raises(ValueError, match="at most 3"):
        Scene(None, tuple(Event(sound) for sound in ("dog", "cat", "cow", "pig")))
    with pytest.raises(ValueError, match="different sounds"):
        Scene(None, (Event("dog"), Event("dog")))
    with pytest.raises(ValueError, match="cannot overlap"):
        Scene(None, (Event("dog"),), "together")
    with pytest.raises(ValueError, match="between 1 and 3"):
        Event("dog", 4)


def test_annotators_differ_in_words():
    """A bag of words identifies the annotator: each English annotator's sentence holds a word the other never uses."""
    rng, bags = random.Random(2), {mode: [] for mode in MODES}
    for _ in range(1500):
        scene = sample_scene(rng, LEXICON, LEXICON.events, LEXICON.backgrounds)
        for mode in MODES:
            bags[mode].append(set(re.findall(r"\w+", caption(scene, mode, rng).lower())))
    vocabularies = {mode: set().union(*bags[mode]) for mode in MODES}
    for mode in ("en-events", "en-scene"):
        other = vocabularies["en-scene" if mode == "en-events" else "en-events"]
        assert all(bag - other for bag in bags[mode])


def test_samples_follow_the_rules():
    rng = random.Random(3)
    for _ in range(2000):
        scene = sample_scene(rng, LEXICON, LEXICON.events, LEXICON.backgrounds)
        kinds = [LEXICON.sounds[event.sound].kind for event in scene.events]
        assert kinds.count("music") <= 1 and kinds.count("speech") <= 1
        families = {LEXICON.sounds[event.sound].family for event in scene.events}
        assert scene.background is None or LEXICON.sounds[scene.background].family not in families
        assert all(event.times == 1 or LEXICON.sounds[event.sound].shape == "short" for event in scene.events)
