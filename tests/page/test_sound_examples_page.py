"""Examples of sounds: played from their thumbnails, and restored from a second by a link, in a headless Chromium."""

import json

import pytest
import soundfile
from playwright.sync_api import expect

from lora_mcl.log_mel_picture import log_mel_webp
from tests.support.browsing import column, expect_no_sideways_scroll, expect_state, screenshot, set_number
from tests.support.fake_captioner import FakeAudioCaptioner
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.served_pages import audio_tab
from tests.support.tiny_audio import chirp
from ui.examples import load_examples

pytestmark = [pytest.mark.browser, *GRADIO_WARNINGS]

SECONDS = 5


@pytest.fixture(scope="module")
def browser_arguments() -> tuple[str, ...]:
    return ("--autoplay-policy=no-user-gesture-required",)


@pytest.fixture(scope="module")
def captioner() -> FakeAudioCaptioner:
    return FakeAudioCaptioner()


@pytest.fixture(scope="module")
def address(serve, captioner, tmp_path_factory) -> str:
    """An Audio tab with one example, of which the model takes 2 s at a time."""
    folder = tmp_path_factory.mktemp("examples")
    soundfile.write(folder / "rain.flac", chirp(SECONDS), 16_000)
    (folder / "rain.webp").write_bytes(log_mel_webp(captioner.audio_view(folder / "rain.flac", 0).log_mel))
    entry = {"file": "rain.flac", "thumbnail": "rain.webp", "title": "Rain", "alt": "Rain on a roof", "credit": "Us"}
    (folder / "examples.json").write_text(json.dumps([entry]))
    return serve(audio_tab(captioner, load_examples(folder)))


@pytest.mark.parametrize("width", [1280, 390])
def test_a_thumbnail_plays_without_comparing(visit, address, captioner, tmp_path, width):
    page = visit(address, width=width)
    steps = captioner.steps
    page.get_by_role("button", name="Play Rain").click()
    player = page.locator("#audio-example-player audio")
    expect(player).to_be_visible()
    page.wait_for_function("document.querySelector('#audio-example-player audio').currentTime > 0")
    assert page.evaluate("document.querySelector('#audio-example-player audio').duration") == pytest.approx(
        SECONDS, abs=0.2
    )
    assert captioner.steps == steps
    expect_state(page, "idle")
    expect_no_sideways_scroll(page)
    screenshot(page, f"play-{width}", tmp_path)


def test_a_link_restores_the_start_of_a_sound(visit, address, captioner):
    page = visit(address)
    page.get_by_role("button", name="Rain on a roof").click()
    link = page.locator("#audio-link a")
    expect(link).to_have_attribute("href", "?tab=audio&model=fake&example=rain&start=0.0")
    set_number(page, "#audio-start", 2.5)
    expect(column(page, "beam")).to_have_attribute("data-state", "idle")
    page.click("#audio-compare")
    expect(link).to_have_attribute("href", "?tab=audio&model=fake&example=rain&start=2.5")
    samples = captioner.samples.tolist()
    captioner.samples = None
    again = visit(address + link.get_attribute("href"))
    expect_state(again, "done")
    assert captioner.samples.tolist() == samples
    expect(again.locator("#audio-start input[type=number]")).to_have_value("2.5")
    expect(again.locator("#audio-view .seconds")).to_contain_text("2.5 s")
    expect(again.locator("#audio-link a")).to_have_attribute("href", link.get_attribute("href"))


def test_an_example_that_is_clicked_again_is_shown_from_its_beginning(visit, address):
    page = visit(address)
    page.get_by_role("button", name="Rain on a roof").click()
    expect_state(page, "done")
    seconds = page.locator("#audio-view .seconds")
    expect(seconds).to_contain_text("0.0 s")
    set_number(page, "#audio-start", 2.5)
    expect(seconds).to_contain_text("2.5 s")
    page.get_by_role("button", name="Rain on a roof").click()
    expect(seconds).to_contain_text("0.0 s")
    expect(page.locator("#audio-start input[type=number]")).to_have_value("0")


@pytest.mark.parametrize("start", ["soon", "-1", "nan", "inf"])
def test_a_link_without_such_a_second_gives_a_sentence(visit, address, start):
    page = visit(f"{address}?tab=audio&example=rain&start={start}")
    expect(page.locator("#audio-status")).to_have_text(f"start must be a second of the sound, not '{start}'.")
