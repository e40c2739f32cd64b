"""Answers that reach the browser later than those to what a visitor did after."""

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.support.browsing import captions, compare_event, expect_state, start_over_event, upload_picture
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.served_pages import image_tab

pytestmark = GRADIO_WARNINGS

HOLD_BACK = """
  const plain = window.fetch;
  window.fetch = async (url, options) => {
    const answer = await plain(url, options);
    if (!(window.held >= window.most) && options?.body?.includes?.(`"fn_index":${window.heldBack},`)) {
      window.held = (window.held ?? 0) + 1;
      await new Promise((done) => setTimeout(done, 2000));
    }
    return answer;
  };
"""


@pytest.mark.browser
def test_it_compares_once_the_columns_are_cleared(visit, serve, captioner, tmp_path):
    page = visit(serve(image_tab(captioner)))
    page.add_init_script(HOLD_BACK)
    page.reload()
    expect(page.locator("#image-compare")).to_be_enabled()
    page.evaluate("(event) => { window.heldBack = event; }", start_over_event(page, "image"))
    for number, colour in enumerate(("teal", "goldenrod"), start=1):
        Image.new("RGB", (90, 60), colour).save(picture := tmp_path / f"{colour}.png")
        page.set_input_files("#image-media input[type=file]", str(picture))
        page.wait_for_function(f"window.held === {number}")
        page.locator("#image-compare").click()
        expect_state(page, "done")
        page.wait_for_timeout(2500)
        expect_state(page, "done")
        assert captions(page, "beam")


@pytest.mark.browser
def test_a_request_that_is_answered_after_a_later_one_leaves_the_page_ready(visit, serve, captioner, tmp_path):
    page = visit(serve(image_tab(captioner)))
    page.add_init_script(HOLD_BACK)
    page.reload()
    expect(page.locator("#image-compare")).to_be_enabled()
    Image.new("RGB", (90, 60), "teal").save(picture := tmp_path / "teal.png")
    upload_picture(page, picture)
    page.evaluate("(event) => { window.most = 1; window.heldBack = event; }", compare_event(page, "image"))
    page.locator("#image-compare").click()
    page.locator("#image-compare").click()
    expect_state(page, "done")
    page.wait_for_timeout(2500)
    expect(page.locator("#image-compare")).to_be_enabled()
    expect(page.locator("#image-stop")).to_be_disabled()
    assert captions(page, "beam")
