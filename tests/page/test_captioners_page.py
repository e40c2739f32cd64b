"""The page with other captioners than the tests' usual one, in a headless Chromium: hostile text, and a real model."""

import pytest
from playwright.sync_api import expect

import app
from tests.support.browsing import captions, column, screenshot, upload_picture
from tests.support.fake_captioner import HYPOTHESES, FakeCaptioner
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.served_pages import image_tab
from ui.examples import load_examples
from ui.model_info import ModelInfo

pytestmark = [pytest.mark.browser, *GRADIO_WARNINGS]


def test_what_a_model_writes_is_text(visit, serve, picture):
    attack = "<img src=x onerror=alert(1)> ${1+1} {{this}} `&amp;"
    hostile = FakeCaptioner(hypotheses=((f"<b>{attack}", attack, attack), HYPOTHESES[0]))
    page = visit(serve(image_tab(hostile, info=ModelInfo(can="<i>x</i>", cannot=""))))
    expect(page.locator("h1")).to_have_text("One model, two ways of answering")
    upload_picture(page, picture)
    page.click("#image-compare")
    expect(column(page, "hypothesis-0")).to_have_attribute("data-state", "done")
    assert captions(page, "hypothesis-0") == [attack]
    expect(column(page, "hypothesis-0").locator(".what")).to_have_text(attack)
    expect(page.locator(".about")).to_contain_text("<i>x</i>")


def test_a_real_captioner_on_the_page(visit, serve, embedded_captioner, tmp_path):
    examples = load_examples(app.EXAMPLES / "image")
    page = visit(serve(image_tab(embedded_captioner, examples, info=app.model_info(embedded_captioner.bundle))))
    upload_picture(page, examples[0].file)
    page.click("#image-compare")
    for spec in embedded_captioner.columns():
        expect(column(page, spec.id)).to_have_attribute("data-state", "done")
        assert captions(page, spec.id)
    screenshot(page, "real", tmp_path)
