"""The strip of what was compared on a visit, in a headless Chromium."""

import json
import re

import numpy as np
import pytest
import soundfile
from PIL import Image
from playwright.sync_api import Page, expect

from tests.support.browsing import (
    attributes,
    captions,
    column,
    expect_no_sideways_scroll,
    expect_state,
    screenshot,
    set_number,
    unnamed,
    upload_sound,
)
from tests.support.fake_captioner import BEAM, FakeAudioCaptioner
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.served_pages import audio_tab, image_tab, listed_examples
from tests.support.tiny_audio import tone
from ui.history import TITLE

pytestmark = [pytest.mark.browser, *GRADIO_WARNINGS]


@pytest.fixture(scope="module")
def listener() -> FakeAudioCaptioner:
    return FakeAudioCaptioner()


@pytest.fixture(scope="module")
def address(serve, captioner, listener, tmp_path_factory) -> str:
    """Both tabs; three pictures to try."""
    folder, files = tmp_path_factory.mktemp("examples"), []
    for title, colour in (("Sea", "teal"), ("Sand", "goldenrod"), ("Wood", "darkgreen")):
        picture = Image.new("RGB", (90, 60), colour)
        picture.paste("white", (10, 10, 40, 50))
        files.append(folder / f"{title}.png")
        picture.save(files[-1])
    return serve(image_tab(captioner, listed_examples(files, "Only {}")), audio_tab(listener))


def compare(page: Page, title: str) -> None:
    page.get_by_role("button", name=f"Only {title}").click()
    expect_state(page, "done")
    expect(page.locator("#image-link a")).to_have_attribute("href", f"?tab=image&model=fake&example={title}")


def strip(page: Page):
    return page.locator("#image-history li button")


def names(page: Page) -> list[str]:
    return attributes(page, "#image-history img", "alt")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_a_thumbnail_restores_its_comparison(visit, address, tmp_path, width, scheme):
    page = visit(address, width=width)
    if scheme == "dark":
        page.evaluate("document.body.classList.add('dark')")
    compare(page, "Sea")
    expect(page.locator("#image-history section")).to_be_hidden()  # nothing to go back to
    page.get_by_role("button", name="Settings").click()
    set_number(page, "#image-num_beams", 2)
    page.get_by_role("button", name="Only Sand").click()
    expect(strip(page)).to_have_count(2)
    expect(page.get_by_role("heading", name=TITLE)).to_be_visible()
    assert names(page) == ["Show Sand.png again", "Show Sea.png again"]
    assert captions(page, "beam") == list(BEAM[:2])
    screenshot(page, f"history-{width}-{scheme}", tmp_path)
    expect_no_sideways_scroll(page)
    assert unnamed(page) == []
    strip(page).nth(1).click()
    expect(strip(page).nth(1)).to_have_attribute("aria-current", "true")
    expect_state(page, "done")
    assert captions(page, "beam") == list(BEAM)
    for name in ("num_beams", "num_beam_groups"):
        expect(page.locator(f"#image-{name} input[type=number]")).to_have_value("3")
    expect(page.locator("#image-link a")).to_have_attribute("href", "?tab=image&model=fake&example=Sea")
    # What is restored stays where it is.
    assert names(page) == ["Show Sand.png again", "Show Sea.png again"]


def test_arrows_move_through_examples_and_history(visit, address):
    page = visit(address)
    for title in ("Sea", "Sand", "Wood"):
        compare(page, title)
    page.get_by_role("button", name="Only Sea").focus()
    for key, focused in (("ArrowRight", "Sand"), ("End", "Wood"), ("ArrowRight", "Sea"), ("ArrowLeft", "Wood")):
        page.keyboard.press(key)
        expect(page.get_by_role("button", name=f"Only {focused}")).to_be_focused()
    strip(page).first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name="Show Sand.png again")).to_be_focused()
    page.keyboard.press("Enter")
    expect(strip(page).nth(1)).to_have_attribute("aria-current", "true")
    expect(page.locator("#image-link a")).to_have_attribute("href", "?tab=image&model=fake&example=Sand")
    # The focus stays where the visitor was.
    expect(page.get_by_role("button", name="Show Sand.png again")).to_be_focused()


# Of the events that follow a change of what the server keeps for the page, none is sent at once.
_SLOWLY = """
  () => {
    const plain = window.fetch;
    window.fetch = async (url, options) => {
      const sent = options?.method === 'POST' && typeof options.body === 'string' ? JSON.parse(options.body) : {};
      const states = gradio_config.components.filter((one) => one.type === 'state').map((one) => one.id);
      const event = gradio_config.dependencies.find((one) => one.id === sent.fn_index);
      if (event?.targets.some(([id, kind]) => kind === 'change' && states.includes(id)))
        await new Promise((done) => setTimeout(done, 1500));
      return plain(url, options);
    };
  }
"""


def test_a_comparison_is_kept_though_the_visitor_goes_on_at_once(visit, address):
    page = visit(address)
    page.evaluate(_SLOWLY)
    for title in ("Sea", "Sand", "Wood"):
        page.get_by_role("button", name=f"Only {title}").click()
        expect(page.locator("#image-media img")).to_have_attribute("src", re.compile(title))
        expect_state(page, "done")
    expect(strip(page)).to_have_count(3)
    assert names(page) == [f"Show {title}.png again" for title in ("Wood", "Sand", "Sea")]


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("none", "This comparison cannot be restored: choose the picture again."),
        ('{"media": 3, "start": null}', "This comparison cannot be restored: choose the picture again."),
        ('{"media": "/etc/passwd", "start": null, SETTINGS}', "passwd was not uploaded"),
        ('{"media": "FOLDER/gone.png", "start": null, SETTINGS}', "This picture is deleted from the server"),
        ('{"media": "/etc/passwd", "start": null}', "Beams (num_beams) must be a whole number"),
    ],
)
def test_what_is_no_entry_is_refused(visit, address, entry, sentence):
    page = visit(address)
    compare(page, "Sea")
    compare(page, "Sand")
    expect(strip(page)).to_have_count(2)
    own = json.loads(page.locator("#image-history li").first.get_attribute("data-entry"))
    settings = json.dumps({name: value for name, value in own.items() if name not in ("media", "start")})[1:-1]
    entry = entry.replace("SETTINGS", settings).replace("FOLDER", own["media"].rpartition("/")[0])
    page.locator("#image-history li").last.evaluate("(li, entry) => { li.dataset.entry = entry; }", entry)
    strip(page).last.click()
    expect(page.locator("#image-status")).to_contain_text(sentence)
    expect_state(page, "done")


def test_a_sound_is_restored_from_its_start(visit, address, listener, tmp_path):
    page = visit(address)
    page.get_by_role("tab", name="Audio").click()
    expect(column(page, "beam")).to_be_visible()
    for hertz, name in ((300, "low"), (900, "high")):
        soundfile.write(tmp_path / f"{name}.wav", tone(hertz, 5, 16_000), 16_000)
    upload_sound(page, tmp_path / "low.wav")
    expect(page.locator("#audio-start")).to_be_visible()
    set_number(page, "#audio-start", 2.5)
    expect(page.locator("#audio-view .seconds")).to_contain_text("2.5 s")
    page.click("#audio-compare")
    expect_state(page, "done")
    expect(page.locator("#audio-history img")).to_be_attached()
    first = listener.samples
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#audio-view img")).to_have_count(0)
    upload_sound(page, tmp_path / "high.wav")
    expect(page.locator("#audio-view .seconds")).to_contain_text("0.0 s")
    page.click("#audio-compare")
    expect(page.locator("#audio-history img")).to_have_count(2)
    assert not np.array_equal(listener.samples, first)
    page.get_by_role("button", name="Show low.wav again").click()
    expect(page.locator("#audio-history button").nth(1)).to_have_attribute("aria-current", "true")
    assert np.array_equal(listener.samples, first)
    expect(page.locator("#audio-start input[type=number]")).to_have_value("2.5")
    expect(page.locator("#audio-view .seconds")).to_contain_text("2.5 s")
