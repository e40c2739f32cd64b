"""Choosing columns, and writing one anew, in a headless Chromium."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.browsing import (
    attributes,
    captions,
    column,
    expect_no_sideways_scroll,
    expect_state,
    screenshot,
    set_number,
    set_ticked,
    unnamed,
    wait_until,
)
from tests.support.fake_captioner import BEAM, DIVERSE, SAMPLES
from tests.support.gradio_warnings import GRADIO_WARNINGS

pytestmark = [pytest.mark.browser, *GRADIO_WARNINGS]


def shown(page: Page) -> list[str]:
    return attributes(page, ".caption-column", "data-column")


def status(page: Page):
    return page.locator("#image-status")


def redo(page: Page, id: str):
    return column(page, id).get_by_role("button", name="Redo")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_the_chosen_columns_are_compared(visit, address, captioner, tmp_path, width, scheme):
    page = visit(address, width=width)
    if scheme == "dark":
        page.evaluate("document.body.classList.add('dark')")
    page.get_by_role("button", name="Settings").click()
    objects, diverse = (
        page.get_by_role("checkbox", name=label, exact=True) for label in ("English, objects", "Diverse beam search")
    )
    set_ticked(objects.or_(diverse), False)
    page.get_by_role("button", name="Only Sea").click()
    expect(column(page, "beam")).to_have_attribute("data-state", "done")
    wait_until(lambda: shown(page) == ["hypothesis-1", "hypothesis-2", "beam"])
    # A hypothesis keeps its number and colour.
    expect(column(page, "hypothesis-1").locator(".badge")).to_have_text("2")
    assert "accent-1" in column(page, "hypothesis-1").get_attribute("class")
    expect(page.locator(".diversity tbody tr th").first).to_have_text("2 hypotheses")
    link = page.locator("#image-link a").get_attribute("href")
    assert link.endswith("&columns=hypothesis-1%2Chypothesis-2%2Cbeam")
    expect_no_sideways_scroll(page)
    assert unnamed(page) == []
    screenshot(page, f"choose-{width}-{scheme}", tmp_path)
    again = visit(address + link)
    expect(column(again, "beam")).to_have_attribute("data-state", "done")
    wait_until(lambda: shown(again) == ["hypothesis-1", "hypothesis-2", "beam"])
    again.get_by_role("button", name="Settings").click()
    expect(again.get_by_role("checkbox", name="English, objects", exact=True)).not_to_be_checked()


def test_at_least_one_column_is_chosen(visit, address):
    page = visit(address)
    page.get_by_role("button", name="Settings").click()
    set_ticked(page.locator("#image-columns input"), False)
    page.get_by_role("button", name="Only Sea").click()
    expect(status(page)).to_have_text("Choose at least one column.")


def test_one_column_is_written_anew_and_the_others_stay(visit, address, captioner):
    page = visit(address)
    page.get_by_role("button", name="Only Sea").click()
    expect_state(page, "done")
    page.get_by_role("button", name="Settings").click()
    set_number(page, "#image-num_beams", 2)
    redo(page, "beam").click()
    expect(column(page, "beam").locator(".caption")).to_have_count(2)
    expect_state(page, "done")
    assert captions(page, "beam") == list(BEAM[:2]) and captions(page, "diverse-beam") == list(DIVERSE)
    expect(column(page, "beam").locator(".what")).to_contain_text("2 beams")
    expect(page.locator("#image-link")).to_have_text("Columns written with different settings have no link.")
    expect(redo(page, "beam")).to_be_focused()
    # With the other search too, one set of settings describes them all again.
    redo(page, "diverse-beam").click()
    expect(page.locator("#image-link a")).to_have_attribute(
        "href", "?tab=image&model=fake&example=Sea&num_beams=2&num_beam_groups=2"
    )
    assert captions(page, "diverse-beam") == list(DIVERSE[:2])


def test_the_same_settings_write_the_same(visit, address, captioner):
    page = visit(address)
    page.get_by_role("button", name="Only Sea").click()
    expect_state(page, "done")
    steps = captioner.steps
    redo(page, "hypothesis-1").click()
    expect(status(page)).to_contain_text("is written the same: change one first, such as Beams per hypothesis.")
    expect(page.locator(".toast-title")).to_have_class(re.compile("info"))  # and no error
    assert captioner.steps == steps
    expect_state(page, "done")
    expect(page.locator("#image-compare")).to_be_enabled()


def test_samples_are_drawn_anew(visit, address):
    page = visit(address)
    page.get_by_role("button", name="Settings").click()
    set_number(page, "#image-num_samples", 1)
    page.get_by_role("button", name="Only Sea").click()
    expect(column(page, "sampling")).to_have_attribute("data-state", "done")
    assert captions(page, "sampling") == [SAMPLES[0]]
    for seed in (1, 2):
        redo(page, "sampling").click()
        expect(column(page, "sampling").locator(".caption")).to_have_text(SAMPLES[seed])
        expect(page.locator("#image-link a")).to_have_attribute(
            "href", f"?tab=image&model=fake&example=Sea&num_samples=1&seed={seed}"
        )
    set_number(page, "#image-num_samples", 0)
    redo(page, "sampling").click()
    expect(status(page)).to_have_text("Samples is 0: ask for at least one first.")


def test_a_stopped_column_leaves_the_others(visit, address, pace):
    page = visit(address)
    page.get_by_role("button", name="Only Sea").click()
    expect_state(page, "done")
    page.get_by_role("button", name="Settings").click()
    set_number(page, "#image-hypothesis_beams", 2)
    pace(3)
    redo(page, "hypothesis-1").click()
    expect(column(page, "hypothesis-1")).to_have_attribute("data-state", "writing")
    assert captions(page, "beam") == list(BEAM)
    page.get_by_role("button", name="Stop").click()
    expect(column(page, "hypothesis-1")).to_have_attribute("data-state", "stopped")
    expect(column(page, "beam")).to_have_attribute("data-state", "done")
    assert captions(page, "beam") == list(BEAM)
