"""Your caption: on the page in a headless Chromium, and through gradio_client."""

import json

import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import expect

from tests.support.browsing import expect_no_sideways_scroll, screenshot
from tests.support.fake_captioner import HYPOTHESES, FakeCaptioner
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.served_pages import audio_tab, image_tab

pytestmark = GRADIO_WARNINGS

FRENCH = HYPOTHESES[2][2]


@pytest.fixture(scope="module")
def address(serve):
    return serve(image_tab(), audio_tab())


def test_the_endpoint_gives_the_librarys_score(client, picture):
    answer = client.predict(image=handle_file(str(picture)), caption=FRENCH, api_name="/score_image")
    expected = FakeCaptioner().score(picture, FRENCH).to_dict()
    assert answer == json.loads(json.dumps(expected)) and answer["winner"] == "hypothesis-2"


def test_a_sounds_score_from_a_second(client, clip):
    answer = client.predict(audio=handle_file(str(clip)), caption="two sheep", start=0.25, api_name="/score_audio")
    assert answer["window"]["start"] == 0.25 and answer["winner"] == "hypothesis-0"


@pytest.mark.parametrize(
    ("media", "caption", "message"),
    [(True, " ", "The caption is empty: type a few words."), (False, "a cat", "Choose a picture first")],
)
def test_refusals_are_one_sentence(client, picture, media, caption, message):
    with pytest.raises(AppError, match=message):
        client.predict(image=handle_file(str(picture)) if media else None, caption=caption, api_name="/score_image")


def test_the_endpoints_are_documented(client):
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    for name, parameters in {
        "/score_image": ["image", "caption"],
        "/score_audio": ["audio", "caption", "start"],
    }.items():
        assert [one["parameter_name"] for one in endpoints[name]["parameters"]] == parameters
        assert "log-probability under every hypothesis" in endpoints[name]["description"]


@pytest.mark.browser
def test_a_visitor_scores_a_caption(visit, address, picture, tmp_path):
    page = visit(address, width=1280)
    panel = page.locator("#image-your-caption")
    panel.get_by_role("button", name="Your caption").click()
    page.fill("#image-caption textarea", "deux moutons sheep")
    page.click("#image-score")
    expect(page.locator("#image-scored")).to_contain_text("Choose a picture first")
    page.set_input_files("#image-media input[type=file]", str(picture))
    expect(page.locator("#image-media img")).to_be_attached()
    expect(page.locator("#image-scored")).not_to_contain_text("Choose")
    page.fill("#image-caption textarea", FRENCH)
    page.keyboard.press("Enter")
    expect(page.locator("#image-scored .verdict")).to_contain_text(f"Likeliest under {HYPOTHESES[2][0]}")
    expect(page.locator("#image-scored .rule")).to_contain_text("winner takes all")
    rows = page.locator("#image-scored .scored")
    expect(rows).to_have_count(4)
    expect(page.locator("#image-scored .winner")).to_have_attribute("data-system", "hypothesis-2")
    words = rows.nth(2).locator(".token")
    assert words.count() == len(FRENCH.split()) + 1
    assert words.first.inner_text().split() == ["Sur", "−0.2"]
    screenshot(page, "score-light", tmp_path)
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 800})
    expect_no_sideways_scroll(page)
    # Nor is anything cut off, also where a word of many tokens is wider than the page.
    scored = page.locator("#image-scored")
    scored.locator(".word").first.evaluate(
        "(word) => word.append(...[...Array(30)].map(() => word.firstChild.cloneNode(true)))"
    )
    assert scored.locator(".score").evaluate("(score) => score.scrollWidth <= score.clientWidth + 1")
    page.evaluate("document.body.classList.add('dark')")
    screenshot(page, "score-dark-phone", tmp_path)
    # Another picture has another score.
    page.locator("#image-media").get_by_role("button", name="Remove Image").click()
    expect(page.locator("#image-scored .verdict")).to_have_count(0)
