"""Differences between the columns, and copied captions, in a headless Chromium."""

import pytest
from playwright.sync_api import Page, expect

import app
from tests.support.browsing import browsing, column, expect_state, screenshot, start_browser, visiting
from tests.support.fake_captioner import BEAM, HYPOTHESES, FakeCaptioner
from tests.support.gradio_warnings import GRADIO_WARNINGS
from ui.modality import IMAGE
from ui.model_info import ModelInfo
from ui.page import build_page
from ui.tab import Tab

pytestmark = [pytest.mark.browser, *GRADIO_WARNINGS]


@pytest.fixture(scope="module")
def compared(chromium, picture):
    """A page whose comparison is done."""
    tabs = [Tab(IMAGE, FakeCaptioner(), (), ModelInfo(can="", cannot=""))]
    built = build_page(tabs)
    address = app.launch(built, tabs)
    with browsing() as playwright:
        browser = start_browser(playwright, chromium)
        with visiting(browser) as visit:
            page = visit(address)
            expect(page.locator("#image-differences")).not_to_be_visible()
            # Not before the page has cleared away what belonged to no picture.
            with page.expect_response("**/run/predict*"):
                page.set_input_files("#image-media input[type=file]", str(picture))
            expect(page.locator("#image-media img")).to_be_attached()
            page.click("#image-compare")
            expect_state(page, "done")
            yield page
        browser.close()
    built.close(verbose=False)


def test_differences_show_where_they_are_asked_for(compared: Page, tmp_path):
    expect(column(compared, "hypothesis-2").locator(".language")).to_have_text("French")
    expect(column(compared, "hypothesis-0").locator(".language")).to_have_text("English")
    unique = column(compared, "hypothesis-1").locator(".word-unique", has_text="stand")
    expect(unique).to_have_css("text-decoration-line", "none")
    compared.check("#image-differences")
    expect(unique).to_have_css("text-decoration-line", "underline")
    screenshot(compared, "differences", tmp_path)


def test_a_caption_is_copied(compared: Page):
    compared.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    button = column(compared, "hypothesis-2").locator(".copy")
    button.click()
    expect(button).to_have_text("Copied")
    assert compared.evaluate("window.copied") == HYPOTHESES[2][2]
    column(compared, "beam").locator(".copy").nth(1).click()
    assert compared.evaluate("window.copied") == BEAM[1]
