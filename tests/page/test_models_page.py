"""The choice among several models, in a headless Chromium and through gradio_client."""

from dataclasses import replace

import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from playwright.sync_api import Page, expect

from lora_mcl.types import CompareOptions
from tests.support.browsing import (
    attributes,
    captions,
    column,
    expect_no_sideways_scroll,
    screenshot,
    unnamed,
    wait_until,
)
from tests.support.fake_captioner import HYPOTHESES, FakeCaptioner
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.served_pages import image_tab
from ui.model_info import ModelInfo, side_by_side_info
from ui.model_switch import ModelTexts
from ui.models import SeveralCaptioners, SideBySide

pytestmark = [pytest.mark.browser, *GRADIO_WARNINGS]

AFTER = (("Objects", "Names things.", "a red bicycle and two sheep"), ("Places", "Says where.", "sheep at the sea"))


@pytest.fixture(scope="module")
def address(serve, examples) -> str:
    """The page of two fake models, which differ in their hypotheses and in the beams they recommend."""
    before = FakeCaptioner(name="before")
    beams = replace(CompareOptions(), num_beams=2, num_beam_groups=1)
    after = FakeCaptioner(name="after", hypotheses=AFTER, defaults=beams)
    both = SideBySide(before, after)
    others = (ModelTexts("after", ModelInfo("It sings.", "")), ModelTexts(both.name, side_by_side_info()))
    return serve(image_tab(SeveralCaptioners([before, after, both]), examples, others=others))


def shown(page: Page) -> list[str]:
    return attributes(page, ".caption-column", "data-column")


def test_another_model_is_chosen(visit, address):
    page = visit(address)
    page.get_by_role("button", name="Only Sea").click()
    expect(column(page, "beam")).to_have_attribute("data-state", "done")
    page.get_by_role("radio", name="after", exact=True).check()
    expect(column(page, "hypothesis-1").locator("h3")).to_have_text("Places")
    wait_until(lambda: shown(page) == ["hypothesis-0", "hypothesis-1", "beam", "diverse-beam"])
    expect(page.locator("#image-about")).to_contain_text("It sings.")
    page.get_by_role("button", name="Settings").click()
    expect(page.locator("#image-num_beams input[type=number]")).to_have_value("2")
    expect(page.get_by_role("checkbox", name="Places", exact=True)).to_be_checked()
    page.get_by_role("button", name="Compare captions").click()
    expect(column(page, "beam")).to_have_attribute("data-state", "done")
    assert captions(page, "hypothesis-0") == [AFTER[0][2]] and len(captions(page, "beam")) == 2
    link = page.locator("#image-link a")
    expect(link).to_have_attribute("href", "?tab=image&model=after&example=Sea")
    # A thumbnail brings its model back, and so does a link.
    page.locator("#image-history li button").nth(1).click()
    expect(link).to_have_attribute("href", "?tab=image&model=before&example=Sea")
    expect(page.get_by_role("radio", name="before", exact=True)).to_be_checked()
    expect(column(page, "hypothesis-2")).to_be_visible()
    again = visit(address + "?tab=image&model=after&example=Sand")
    expect(column(again, "beam")).to_have_attribute("data-state", "done")
    expect(again.get_by_role("radio", name="after", exact=True)).to_be_checked()
    assert captions(again, "hypothesis-1") == [AFTER[1][2]]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_two_models_side_by_side(visit, address, tmp_path, width, scheme):
    page = visit(address, width=width)
    if scheme == "dark":
        page.evaluate("document.body.classList.add('dark')")
    page.get_by_role("radio", name="before and after").check()
    expect(column(page, "hypothesis-4")).to_be_visible()
    page.get_by_role("button", name="Only Sea").click()
    expect(column(page, "hypothesis-4")).to_have_attribute("data-state", "done")
    wait_until(lambda: shown(page) == [f"hypothesis-{k}" for k in range(5)])
    texts = [captions(page, f"hypothesis-{k}")[0] for k in range(5)]
    assert texts == [sentence for _, _, sentence in (*HYPOTHESES, *AFTER)]
    expect(column(page, "hypothesis-3").locator("h3")).to_have_text("Objects · after")
    expect_no_sideways_scroll(page)
    assert unnamed(page) == []
    screenshot(page, f"models-{width}-{scheme}", tmp_path)
    # A caption is scored by one model.
    page.get_by_text("Your caption: which hypothesis would win it?").click()
    page.fill("#image-caption textarea", "two sheep")
    page.click("#image-score")
    expect(page.locator("#image-scored")).to_contain_text("one model at a time")


def test_the_endpoints_take_a_model(client, tmp_path):
    Image.new("RGB", (60, 90), "red").save(tmp_path / "red.png")
    image = handle_file(str(tmp_path / "red.png"))
    assert client.predict(image=image, api_name="/compare_image")["model"] == "before"
    answer = client.predict(image=image, model="after", columns=["hypothesis-1"], api_name="/compare_image")
    assert answer["model"] == "after"
    assert [caption["text"] for caption in answer["columns"][0]["captions"]] == [AFTER[1][2]]
    score = client.predict(image=image, caption="two sheep", model="after", api_name="/score_image")
    assert score["model"] == "after"
    for api, more in (("/compare_image", {}), ("/score_image", {"caption": "two sheep"})):
        with pytest.raises(AppError, match="There is no model 'other'; there are before, after, before and after"):
            client.predict(image=image, model="other", api_name=api, **more)
