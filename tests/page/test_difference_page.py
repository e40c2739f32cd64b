"""Differences between the columns, and copied captions, in a headless Chromium."""

import pytest
from playwright.sync_api import Page, expect

from tests.support.browsing import column, expect_state, screenshot, upload_picture, visiting
from tests.support.fake_captioner import BEAM, HYPOTHESES
from tests.support.gradio_warnings import GRADIO_WARNINGS

pytestmark = [pytest.mark.browser, *GRADIO_WARNINGS]


@pytest.fixture(scope="module")
def compared(browser, address, picture):
    """A page whose comparison is done."""
    with visiting(browser) as visit:
        page = visit(address)
        expect(page.locator("#image-differences")).not_to_be_visible()
        upload_picture(page, picture)
        page.click("#image-compare")
        expect_state(page, "done")
        yield page


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
