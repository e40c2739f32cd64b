"""Captions of sounds that cannot be recognised, word by word."""

from dataclasses import replace

import pytest

from tests.support.draws import Draw
from training.embedded.audio.annotation.timbre import Timbre
from training.embedded.audio.captions.grammar import load_grammar
from training.embedded.audio.material.assets import Material
from training.embedded.audio.material.recordings import PACK_DIR
from training.embedded.audio.render.clips import described, draw
from training.embedded.audio.world.scene import Event, Scene

GRAMMAR = load_grammar()


LOW_THUD, WHISTLE = Timbre(-1, -1, -1), Timbre(1, 1, 1)
BARELY = (
    Event("dog", 2, precision="family", timbre=LOW_THUD),
    Event("cat", precision="timbre", timbre=WHISTLE),
)


@pytest.mark.parametrize(
    ("events", "value", "en", "fr"),
    [
        (BARELY[:1], 0.9, "An animal makes a noise twice.", "Un animal fait du bruit deux fois."),
        (
            BARELY[1:],
            0.0,  # alone, it is never left out
            "Something makes a long high-pitched tone.",
            "Quelque chose émet une note longue et aiguë.",
        ),
        (
            BARELY,
            0.9,
            "An animal makes a noise twice, then something makes a long high-pitched tone.",
            "Un animal fait du bruit deux fois, puis quelque chose émet une note longue et aiguë.",
        ),
        (BARELY, 0.0, "An animal makes a noise twice.", "Un animal fait du bruit deux fois."),
        (BARELY[::-1], 0.0, "An animal makes a noise twice.", "Un animal fait du bruit deux fois."),
        (
            (BARELY[0], replace(BARELY[1], precision="family")),  # no two share their words
            0.9,
            "An animal makes a noise twice, then something makes a long high-pitched tone.",
            "Un animal fait du bruit deux fois, puis quelque chose émet une note longue et aiguë.",
        ),
        (
            (Event("dog", precision="timbre", timbre=LOW_THUD), Event("cat", precision="timbre", timbre=LOW_THUD)),
            0.9,
            "Something makes a short low noise.",
            "Quelque chose fait un bruit bref et grave.",
        ),
        # A family without words of its own, and a scene that nobody has rendered.
        (
            (Event("thunder", precision="family", timbre=LOW_THUD),),
            0.9,
            "Something makes a short low noise.",
            "Quelque chose fait un bruit bref et grave.",
        ),
        ((Event("dog", precision="timbre"),), 0.9, "A dog barks.", "Un chien aboie."),
    ],
)
def test_what_cannot_be_recognised_is_named_less_precisely(events, value, en, fr):
    scene = Scene(None, events)
    assert GRAMMAR.caption(scene, "en-events", Draw(value), 0) == en
    assert GRAMMAR.caption(scene, "fr-events", Draw(value), 0) == fr


def test_impressions_leave_out_what_cannot_be_recognised():
    def impression(*events):
        return GRAMMAR.caption(Scene("sea", events, "sequence"), "en-scene", Draw(), 0)

    scream = Event("scream", timbre=WHISTLE)
    assert impression(scream) == "A tense scene at the seaside, filled with human sounds."
    assert (
        impression(replace(scream, precision="family")) == "A peaceful scene at the seaside, filled with human sounds."
    )
    assert impression(replace(scream, precision="timbre")) == (
        "A peaceful scene at the seaside, filled with sounds hard to name."
    )


def test_a_tune_needs_a_player():
    tune = Event("piano", tempo="slow", precision="timbre", timbre=WHISTLE)
    assert GRAMMAR.caption(Scene(None, (tune,)), "en-events", Draw(), 0) == "Something makes a long high-pitched tone."
    drums = Event("drums", tempo="fast", precision="family", timbre=LOW_THUD)
    assert GRAMMAR.caption(Scene(None, (drums,)), "fr-events", Draw(), 0) == "Une percussion joue un rythme rapide."
    both = Scene(None, (Event("cymbal", precision="family", timbre=WHISTLE), drums))
    assert GRAMMAR.caption(both, "en-events", Draw(), 0) == (
        "A percussion instrument plays, then something makes a short low noise."
    )


@pytest.mark.parametrize(("sound", "expected"), [("bell", 1), ("piano", 1), ("dog", 0), ("engine", 0), ("woman_fr", 0)])
def test_only_what_keeps_its_pitch_is_a_tone(sound, expected):
    assert described(sound, Timbre(1, -1, 1)) == Timbre(1, -1, expected)
    assert described(sound, Timbre(0, 1, -1)) == Timbre(0, 1, -1)


def test_a_drawn_clip_holds_the_precision_and_timbre_of_its_events():
    material = Material("train", PACK_DIR)
    events = [event for number in range(12) for event in draw("train-short", number, material)[0].events]
    assert {event.precision for event in events} == {"sound", "family", "timbre"}
    assert all(event.timbre is not None for event in events)
    assert all(event.timbre == described(event.sound, event.timbre) for event in events)
