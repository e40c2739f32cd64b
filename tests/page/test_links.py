"""Links: their settings are restored, or refused in one sentence."""

from dataclasses import replace
from pathlib import Path

import pytest

from lora_mcl.errors import OptionsError
from lora_mcl.types import CompareOptions, Window
from tests.support.fake_captioner import FakeAudioCaptioner, FakeCaptioner
from ui.examples import PageExample
from ui.links import Link, link_html, query_of, read_link
from ui.modality import AUDIO, IMAGE
from ui.model_info import ModelInfo
from ui.settings import SETTINGS
from ui.tab import Tab

SEA, SAND = (PageExample(Path(f"{name}.png"), name, name, "Us") for name in ("sea", "sand & sun"))
TABS = [
    Tab(IMAGE, FakeCaptioner(), (SEA, SAND), ModelInfo("", "")),
    Tab(AUDIO, FakeAudioCaptioner(), (), ModelInfo("", "")),
]
DEFAULTS = CompareOptions()


@pytest.mark.parametrize(
    ("changes", "example"),
    [
        ({}, None),
        ({}, 1),
        ({"num_beams": 6, "num_beam_groups": 2, "diversity_penalty": 0.3, "max_new_tokens": 20}, 0),
        ({"hypothesis_beams": 2, "num_samples": 4}, None),
        ({"columns": ("hypothesis-1", "beam"), "seed": 7, "temperature": 0.5}, 0),
    ],
)
def test_a_link_restores_what_it_was_made_from(changes, example):
    options = replace(DEFAULTS, **changes)
    query = query_of("image", "fake", options, DEFAULTS, None if example is None else TABS[0].examples[example])
    assert read_link(f"?{query}", TABS) == read_link(query, TABS) == Link(0, options, example)


def test_a_link_names_only_what_differs():
    assert query_of("audio", "a b", replace(DEFAULTS, num_beams=6), DEFAULTS, None) == "tab=audio&model=a+b&num_beams=6"


def test_another_model_gives_a_notice():
    link = read_link("tab=audio&model=<b>other", TABS)
    assert link == Link(1, DEFAULTS, None, "This link was made with the model <b>other; this page runs fake.")


@pytest.mark.parametrize("query", ["", "?", "__theme=dark", "num_beams=4", "?example=sea", "&&=&"])
def test_other_addresses_are_no_links(query):
    assert read_link(query, TABS) is None


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("tab=video", "This link is for a tab that is not here: 'video'."),
        ("tab=", "This link is for a tab that is not here: ''."),
        ("tab=audio&example=sea", "There is no example 'sea' here any more: choose another."),
        ("tab=image&example=../../etc/passwd", "There is no example '../../etc/passwd' here"),
        ("tab=image&num_beams=99", r"Beams \(num_beams\) must be a whole number from 1 to 12, not 99."),
        ("tab=image&num_beams=many", r"Beams \(num_beams\) must be a whole number from 1 to 12, not 'many'."),
        ("tab=image&num_beams=", r"Beams \(num_beams\) must be"),
        ("tab=image&diversity_penalty=nan", r"Diversity penalty \(diversity_penalty\) must be"),
        ("tab=image&num_beams=4&num_beam_groups=3", "num_beam_groups must divide num_beams"),
    ],
)
def test_bad_links_give_a_sentence(query, message):
    with pytest.raises(OptionsError, match=message):
        read_link(query, TABS)


def test_beams_alone_get_fitting_groups():
    assert read_link("tab=image&num_beams=4", TABS).options.num_beam_groups == 2


def test_every_setting_can_be_in_a_link():
    query = "tab=image&" + "&".join(f"{setting.name}={setting.low:g}" for setting in SETTINGS)
    options = read_link(query, TABS).options
    assert {setting.name: getattr(options, setting.name) for setting in SETTINGS} == {s.name: s.low for s in SETTINGS}


def test_the_links_text():
    assert link_html("a=1&b=2", SEA, "picture").startswith(
        '<p class="link"><a href="?a=1&amp;b=2">Link to this comparison'
    )
    assert "your picture is not in it" in link_html("a=1", None, "picture")


def test_the_start_of_a_sound_is_in_its_link_if_the_model_got_a_part():
    part, whole = Window(2.5, 4.5, 5.0), Window(0.0, 2.0, 2.0)
    assert "&start=2.5" in query_of("audio", "fake", DEFAULTS, DEFAULTS, SEA, part)
    assert "start" not in query_of("audio", "fake", DEFAULTS, DEFAULTS, SEA, whole)
    assert "start" not in query_of("audio", "fake", DEFAULTS, DEFAULTS, None, part)
    assert read_link("?tab=audio&start=2.5", TABS).start == 2.5 and read_link("?tab=audio", TABS).start is None
