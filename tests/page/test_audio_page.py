"""The Audio tab as a visitor sees it, in a headless Chromium."""

import re
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, expect

import app
from tests.support.browsing import (
    COLUMNS,
    captions,
    column,
    expect_columns_within,
    expect_no_sideways_scroll,
    expect_state,
    screenshot,
    set_number,
    unnamed,
    upload_sound,
)
from tests.support.fake_captioner import HYPOTHESES, FakeAudioCaptioner
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.served_pages import audio_tab, image_tab, listed_examples
from tests.support.tiny_audio import strongest, tone

pytestmark = [pytest.mark.browser, *GRADIO_WARNINGS]

MICROPHONE_HERTZ = 1_000.0


@pytest.fixture(scope="module")
def voice(tmp_path_factory) -> Path:
    """The sound of the fake microphone, repeated: a tone."""
    path = tmp_path_factory.mktemp("voice") / "voice.wav"
    soundfile.write(path, tone(MICROPHONE_HERTZ, 10, 48_000), 48_000, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def browser_arguments(voice) -> tuple[str, ...]:
    """A fake microphone."""
    return (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={voice}",
    )


@pytest.fixture
def visit(visit):
    """Open an address on its Audio tab."""

    def open_tab(address: str, **options) -> Page:
        page = visit(address, **options)
        page.get_by_role("tab", name="Audio").click()
        expect(column(page, "beam")).to_be_visible()
        return page

    return open_tab


@pytest.fixture(scope="module")
def captioner() -> FakeAudioCaptioner:
    return FakeAudioCaptioner()


@pytest.fixture(scope="module")
def address(serve, captioner, tmp_path_factory):
    """Both tabs of fake captioners, the audio one with two examples."""
    folder = tmp_path_factory.mktemp("examples")
    files = [folder / "Low.flac", folder / "High.flac"]
    for file, hertz in zip(files, (300, 3_000), strict=True):
        soundfile.write(file, tone(hertz, 1.5), 16_000)
    return serve(image_tab(), audio_tab(captioner, listed_examples(files, "A {} tone")))


def test_an_upload_is_shown_and_fills_every_column(visit, address, clip, tmp_path):
    page = visit(address)
    expect_state(page, "idle")
    expect(page.locator("#audio-view img")).to_have_count(0)
    upload_sound(page, clip)
    expect(page.locator("#audio-view img")).to_be_visible()
    expect(page.locator("#audio-view .seconds")).to_have_text("0.0 s0.8 s")
    expect(page.locator("#audio-media")).to_contain_text("0:01")
    expect(page.locator("#audio-start")).to_be_hidden()
    page.click("#audio-compare")
    expect_state(page, "done")
    assert [captions(page, id)[0] for id in COLUMNS[:3]] == [sentence for _, _, sentence in HYPOTHESES]
    expect(page.locator("#audio-status")).to_have_text(re.compile(r"^\s*Done in \d+\.\d s\.\s*$"))
    screenshot(page, "audio-light", tmp_path)
    page.get_by_role("tab", name="Image").click()
    expect_state(page, "idle")


def test_a_long_sound_is_cut_with_a_notice_and_a_choice(visit, address, captioner, long_clip, tmp_path):
    page = visit(address)
    upload_sound(page, long_clip)
    expect(page.locator("#audio-view .notice")).to_have_text("The model takes second 0.0 to 2.0 of this sound's 4.0.")
    first = page.locator("#audio-view img").get_attribute("src")
    page.click("#audio-compare")
    expect_state(page, "done")
    expect(page.locator("#audio-status")).to_contain_text("second 0.0 to 2.0 of this sound's 4.0")
    assert strongest(captioner.samples) == pytest.approx(300, abs=1)
    expect(page.locator("#audio-start input[type=range]")).to_have_attribute("max", "2")
    set_number(page, "#audio-start", 2)
    expect(page.locator("#audio-view .notice")).to_contain_text("second 2.0 to 4.0")
    expect(page.locator("#audio-view img")).not_to_have_attribute("src", first)
    expect_state(page, "idle")
    page.click("#audio-compare")
    expect_state(page, "done")
    assert strongest(captioner.samples) == pytest.approx(900, abs=1)
    screenshot(page, "audio-cut", tmp_path)


def test_a_recording_is_captioned(visit, address, captioner):
    page = visit(address)
    page.locator("#audio-media").get_by_label("Record audio").click()
    page.get_by_role("button", name="Record", exact=True).click()
    stop = page.locator("#audio-media").get_by_role("button", name="Stop", exact=True)
    expect(stop).to_be_visible()
    page.wait_for_timeout(1_500)
    stop.click()
    expect(page.locator("#audio-view img")).to_be_visible()
    page.click("#audio-compare")
    expect_state(page, "done")
    assert 0.5 < len(captioner.samples) / 16_000 < 2.01
    assert strongest(captioner.samples) == pytest.approx(MICROPHONE_HERTZ, abs=3)


def test_a_click_on_an_example_compares_it(visit, address, captioner, long_clip, pace):
    page = visit(address)
    # Another sound's choice of part does not stay.
    upload_sound(page, long_clip)
    page.locator("#audio-start input[type=number]").fill("1.5")
    page.get_by_role("button", name="A High tone").click()
    expect_state(page, "done")
    assert strongest(captioner.samples) == pytest.approx(3_000, abs=1) and len(captioner.samples) == 24_000
    expect(page.locator("#audio-start")).to_be_hidden()
    expect(page.locator("#audio-view .seconds")).to_have_text("0.0 s1.5 s")
    pace(3)
    page.get_by_role("button", name="A Low tone").click()
    expect_state(page, "writing")
    page.click("#audio-stop")
    expect_state(page, "stopped")
    # A sound taken away takes its captions and its picture along.
    page.locator("#audio-media").get_by_role("button", name="Clear").click()
    expect_state(page, "idle")
    expect(page.locator("#audio-view img")).to_have_count(0)


def test_errors_are_shown(visit, address, tmp_path):
    page = visit(address)
    page.click("#audio-compare")
    expect(page.locator("#audio-status")).to_contain_text("Choose a sound first")
    soundfile.write(tmp_path / "still.wav", np.zeros(16_000), 16_000)
    upload_sound(page, tmp_path / "still.wav")
    expect(page.locator("#audio-view .notice")).to_contain_text("still.wav is silent")
    page.click("#audio-compare")
    expect(page.locator("#audio-status")).to_contain_text("still.wav is silent")
    expect(page.locator("#audio-compare")).to_be_enabled()


@pytest.fixture(scope="module")
def media_files(tmp_path_factory) -> dict[str, Path]:
    """Sounds of 25 s by name, in containers whose type browsers take for a video, do not know, or cannot play."""
    folder = tmp_path_factory.mktemp("media")
    samples = tone(600, 25, 48_000)[None].astype(np.float32)
    kinds = {"mic.webm": ("libopus", "webm"), "film.mp4": ("aac", "mp4"), "voice.caf": ("pcm_s16be", "caf")}
    for name, (codec, container) in kinds.items():
        with av.open(str(folder / name), "w", format=container) as file:
            stream = file.add_stream(codec, rate=48_000, layout="mono")
            frames = {stream: av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")}
            frames[stream].sample_rate = 48_000
            if name == "film.mp4":
                film = file.add_stream("mpeg4", rate=1)
                film.width = film.height = 64
                frames[film] = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
            for stream, frame in frames.items():
                for packet in [*stream.encode(frame), *stream.encode(None)]:
                    file.mux(packet)
    soundfile.write(folder / "noext", samples[0], 48_000, format="WAV")
    return {file.name: file for file in folder.iterdir()}


@pytest.mark.parametrize("name", ["mic.webm", "film.mp4", "voice.caf", "noext"])
def test_the_server_decides_what_is_a_sound(visit, address, captioner, media_files, name):
    # The player tries first, before it gets a copy that it can decode.
    page = visit(address, expected="Waveform load error")
    upload_sound(page, media_files[name])
    # The player could decode it: it knows how long it is.
    expect(page.locator("#audio-media")).to_contain_text("0:25")
    expect(page.locator("#audio-view .seconds")).to_have_text("0.0 s2.0 s")
    page.click("#audio-compare")
    expect_state(page, "done")
    assert strongest(captioner.samples) == pytest.approx(600, abs=1)


def test_a_sound_that_begins_late_is_shown_from_its_first_sound(visit, address, captioner, tmp_path):
    soundfile.write(tmp_path / "late.wav", np.concatenate([np.zeros(48_000), tone(700, 3.0)]), 16_000)
    page = visit(address)
    upload_sound(page, tmp_path / "late.wav")
    expect(page.locator("#audio-view .notice")).to_contain_text("second 3.0 to 5.0 of this sound's 6.0")
    expect(page.locator("#audio-start input[type=number]")).to_have_value("3")
    page.click("#audio-compare")
    expect_state(page, "done")
    assert strongest(captioner.samples) == pytest.approx(700, abs=1)
    # The choice stays, also of a part without a sound.
    set_number(page, "#audio-start", 0.5)
    expect(page.locator("#audio-view .notice")).to_contain_text("silent from second 0.5 to 2.5")
    set_number(page, "#audio-start", 4)
    expect(page.locator("#audio-view .notice")).to_contain_text("second 4.0 to 6.0")


def test_a_sound_slightly_longer_than_the_window_leaves_no_choice(visit, address, captioner, tmp_path):
    soundfile.write(tmp_path / "hair.wav", tone(700, 2.03), 16_000)
    page = visit(address)
    upload_sound(page, tmp_path / "hair.wav")
    expect(page.locator("#audio-view img")).to_be_visible()
    expect(page.locator("#audio-start")).to_be_hidden()
    page.click("#audio-compare")
    expect_state(page, "done")


@pytest.mark.parametrize("width", [320, 390])
def test_a_long_sound_does_not_widen_a_phones_page(visit, address, media_files, width):
    page = visit(address, width=width)
    for name in (None, "noext"):
        if name:
            upload_sound(page, media_files[name])
            expect(page.locator("#audio-media")).to_contain_text("0:25")
            expect(page.locator("#audio-start")).to_be_visible()
        expect_no_sideways_scroll(page)
        wide = page.evaluate(
            "[...document.querySelectorAll('*')].filter((e) => e.offsetParent && e.getBoundingClientRect().right > "
            "innerWidth + 1 && !e.closest('.studio-tabs .tab-container')).map((e) => e.outerHTML.slice(0, 120))"
        )
        assert wide == []


@pytest.mark.parametrize(
    ("name", "query", "width"),
    [("dark", "?__theme=dark", 1280), ("phone", "", 390), ("phone-dark", "?__theme=dark", 390)],
)
def test_dark_and_phone(visit, address, long_clip, tmp_path, name, query, width):
    page = visit(address + query, width=width)
    upload_sound(page, long_clip)
    expect(page.locator("#audio-view img")).to_be_visible()
    page.click("#audio-compare")
    expect_state(page, "done")
    expect_columns_within(page, width)
    screenshot(page, f"audio-{name}", tmp_path)


def test_everything_has_a_name(visit, address, clip):
    page = visit(address)
    upload_sound(page, clip)
    expect(page.locator("#audio-view img")).to_be_visible()
    assert unnamed(page) == []


def test_a_real_captioner_on_the_page(visit, serve, tiny_captioner, tiny_audio_captioner, clip):
    tabs = (
        image_tab(tiny_captioner, info=app.model_info(tiny_captioner.bundle)),
        audio_tab(tiny_audio_captioner, info=app.model_info(tiny_audio_captioner.bundle)),
    )
    page = visit(serve(*tabs))
    upload_sound(page, clip)
    page.click("#audio-compare")
    expect_state(page, "done")
    (*_, direct) = tiny_audio_captioner.compare(clip)
    # A browser shows any white space as a blank.
    expected = [caption.text.split() for caption in direct.column("beam").captions]
    assert [text.split() for text in captions(page, "beam")] == expected
