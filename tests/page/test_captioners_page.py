"""The page with other captioners than the tests' usual one, in a headless Chromium: hostile text, and a real model."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import app
from tests.support.browsing import browsing, captions, column, screenshot, start_browser, visiting
from tests.support.fake_captioner import HYPOTHESES, FakeCaptioner
from tests.support.gradio_warnings import GRADIO_WARNINGS
from ui.examples import load_examples
from ui.modality import IMAGE
from ui.model_info import ModelInfo
from ui.page import build_page
from ui.tab import Tab

pytestmark = [pytest.mark.browser, *GRADIO_WARNINGS]


@pytest.fixture
def visit(chromium):
    with browsing() as playwright:
        browser = start_browser(playwright, chromium)
        with visiting(browser) as open_page:
            yield open_page
        browser.close()


def upload(page: Page, picture: Path) -> None:
    """Choose a file, and wait until the page has cleared away what belonged to the picture before."""
    with page.expect_response("**/run/predict*"):
        page.set_input_files("#image-media input[type=file]", str(picture))
    expect(page.locator("#image-media img")).to_be_attached()


def test_what_a_model_writes_is_text(visit, tmp_path, picture):
    attack = "<img src=x onerror=alert(1)> ${1+1} {{this}} `&amp;"
    hostile = FakeCaptioner(hypotheses=((f"<b>{attack}", attack, attack), HYPOTHESES[0]))
    page = build_page([Tab(IMAGE, hostile, (), ModelInfo(can="<i>x</i>", cannot=""))])
    try:
        shown = visit(app.launch(page, []))
        expect(shown.locator("h1")).to_have_text("One model, two ways of answering")
        upload(shown, picture)
        shown.click("#image-compare")
        expect(column(shown, "hypothesis-0")).to_have_attribute("data-state", "done")
        assert captions(shown, "hypothesis-0") == [attack]
        expect(column(shown, "hypothesis-0").locator(".what")).to_have_text(attack)
        expect(shown.locator(".about")).to_contain_text("<i>x</i>")
    finally:
        page.close(verbose=False)


def test_a_real_captioner_on_the_page(visit, embedded_captioner, tmp_path):
    examples = load_examples(app.EXAMPLES / "image")
    tabs = [Tab(IMAGE, embedded_captioner, examples, app.model_info(embedded_captioner.bundle))]
    page = build_page(tabs)
    try:
        shown = visit(app.launch(page, tabs))
        upload(shown, examples[0].file)
        shown.click("#image-compare")
        for spec in embedded_captioner.columns():
            expect(column(shown, spec.id)).to_have_attribute("data-state", "done")
            assert captions(shown, spec.id)
        screenshot(shown, "real", tmp_path)
    finally:
        page.close(verbose=False)
