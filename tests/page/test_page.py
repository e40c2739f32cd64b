"""The page as a visitor sees it, in a headless Chromium."""

import re
import threading
import time
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import expect

from tests.support.browsing import (
    COLUMNS,
    captions,
    column,
    expect_columns_within,
    expect_settled,
    expect_state,
    screenshot,
    set_number,
    unnamed,
    upload_picture,
    wait_until,
)
from tests.support.contrast import CONTRASTS
from tests.support.fake_captioner import (
    BEAM,
    DIVERSE,
    HYPOTHESES,
    SAMPLES,
    FakeCaptioner,
)
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.served_pages import image_tab, served
from ui.sessions import WRITING

pytestmark = [pytest.mark.browser, *GRADIO_WARNINGS]


def test_an_upload_fills_every_column(visit, address, picture, tmp_path):
    page = visit(address)
    expect(page.locator("h1")).to_have_text("One model, three ways of answering")
    expect_state(page, "idle")
    upload_picture(page, picture)
    page.click("#image-compare")
    expect_state(page, "done")
    assert [captions(page, id) for id in COLUMNS] == [
        *([sentence] for _, _, sentence in HYPOTHESES),
        list(BEAM),
        list(DIVERSE),
    ]
    for k, (label, description, _) in enumerate(HYPOTHESES):
        expect(column(page, f"hypothesis-{k}").locator("h3")).to_have_text(label)
        expect(column(page, f"hypothesis-{k}").locator(".what")).to_have_text(description)
        expect(column(page, f"hypothesis-{k}").locator(".figures")).to_contain_text("log-prob. −")
    expect(page.locator("#image-status")).to_contain_text("Done in")
    expect(page.locator(".diversity")).to_contain_text("the hypotheses have as many wordings (3)")
    expect(page.locator("#image-stop")).to_be_disabled()
    screenshot(page, "light", tmp_path)


def test_the_columns_stream_together(visit, address, picture, pace):
    pace(3)  # until all has been looked at
    page = visit(address)
    upload_picture(page, picture)
    page.click("#image-compare")
    expect_state(page, "writing")
    expect(page.locator("#image-compare")).to_be_disabled()
    assert all(0 < len(captions(page, id)[0]) < len(HYPOTHESES[2][2]) for id in COLUMNS)
    expect(column(page, "beam").locator(".answers")).to_have_attribute("aria-busy", "true")
    # What a search shows before its end may still be replaced, and is marked; a hypothesis only writes on.
    for id in ("beam", "diverse-beam"):
        expect(column(page, id)).to_contain_text("Provisional")
    expect(column(page, "hypothesis-0")).not_to_contain_text("Provisional")
    pace(0)
    expect_state(page, "done")
    expect(column(page, "beam").locator(".answers")).to_have_attribute("aria-busy", "false")
    expect(page.locator("body")).not_to_contain_text("Provisional")


def test_what_does_not_change_is_not_drawn_anew(visit, address, picture, pace):
    """While captions are written: the status, the buttons and what stands below the columns."""
    pace(3)  # until it is set anew
    page = visit(address)
    upload_picture(page, picture)
    page.click("#image-compare")
    expect(page.locator("#image-status")).to_contain_text(WRITING)
    expect(column(page, "hypothesis-1").locator(".caption")).to_have_text(re.compile("^On"))
    page.evaluate(
        """() => {
          window.redrawn = [];
          for (const selector of ['#image-status', '.actions', '.diversity']) {
            const part = document.querySelector(`[role=tabpanel] ${selector}`).parentElement;
            new MutationObserver(() => redrawn.push(selector))
              .observe(part, {subtree: true, childList: true, characterData: true, attributes: true});
          }
        }"""
    )
    words = len(captions(page, "hypothesis-1")[0])
    expect(column(page, "hypothesis-1").locator(".caption")).to_have_text(re.compile(f"^.{{{words + 4},}}"))
    assert page.evaluate("redrawn") == []
    pace(0)
    expect_state(page, "done")
    assert {"#image-status", ".actions", ".diversity"} <= set(page.evaluate("redrawn"))


def test_stop_stops_the_computation_and_the_page_goes_on(visit, address, captioner, picture, pace):
    pace(1.2)
    page = visit(address)
    upload_picture(page, picture)
    before, closed = captioner.steps, captioner.closed
    page.click("#image-compare")
    wait_until(lambda: captioner.steps >= before + 2)
    page.click("#image-stop")
    expect_state(page, "stopped")
    wait_until(lambda: captioner.closed == closed + 1)
    reached = captioner.steps
    time.sleep(2.5)
    assert captioner.steps == reached < before + 10
    assert captions(page, "hypothesis-0")[0].startswith("two sheep")
    expect(page.locator("#image-status")).to_contain_text("Stopped")
    expect(page.locator("#image-stop")).to_be_disabled()
    pace(0.0)
    page.click("#image-compare")
    expect_state(page, "done")


@pytest.fixture
def busy(captioner):
    """The page of a captioner of which one comparison runs at a time."""
    with served([image_tab(captioner, max_comparisons=1)]) as page:
        yield page


def test_visitors_write_at_the_same_time(visit, address, picture, pace):
    pace(5.0)
    first, second = visit(address), visit(address)
    for page in (first, second):
        upload_picture(page, picture)
    for page in (first, second):
        page.click("#image-compare")
    expect_state(second, "writing")
    expect_state(first, "writing")
    pace(0.0)
    for page in (first, second):
        expect_state(page, "done")
        assert captions(page, "hypothesis-0") == [HYPOTHESES[0][2]]


def test_a_visitor_who_waits_for_a_turn_can_stop_waiting(busy, visit, captioner, picture, pace):
    pace(3)
    first, second = visit(busy.local_url), visit(busy.local_url)
    for page in (first, second):
        upload_picture(page, picture)
    closed = captioner.closed
    first.click("#image-compare")
    expect_state(first, "writing")
    second.click("#image-compare")
    second.click("#image-stop")
    expect(second.locator("#image-compare")).to_be_enabled()
    pace(0.0)
    expect_state(first, "done")
    expect_state(second, "idle")
    wait_until(lambda: captioner.closed > closed)
    time.sleep(0.3)
    assert captioner.closed == closed + 1


@dataclass
class HeldCaptioner(FakeCaptioner):
    """A fake captioner whose next comparison is held before it begins, once ``hold`` is set, until ``go`` is."""

    hold: threading.Event = field(default_factory=threading.Event)
    held: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def columns(self, options=None):
        if options is not None and self.hold.is_set():
            self.held.set()
            assert self.go.wait(60)
        return super().columns(options)


def test_a_stop_in_the_first_instant_is_not_lost(visit, picture):
    held = HeldCaptioner()
    with served([image_tab(held)]) as served_page:
        page = visit(served_page.local_url)
        upload_picture(page, picture)
        held.hold.set()
        page.click("#image-compare")
        wait_until(held.held.is_set)
        page.click("#image-stop")
        expect(page.locator("#image-status")).to_contain_text("Stopped.")
        held.go.set()
        expect(page.locator("#image-compare")).to_be_enabled()
        # What was stopped has not begun, and the next one does.
        with page.expect_response("**/queue/join*"):
            page.click("#image-compare")
        expect_state(page, "done")
        wait_until(lambda: held.closed > 0)
        assert held.closed == 1
        page.close()  # first, so that it does not see the server end


def test_leaving_the_page_stops_the_computation(visit, address, captioner, picture, pace):
    pace(1.2)
    page = visit(address)
    upload_picture(page, picture)
    before, closed = captioner.steps, captioner.closed
    page.click("#image-compare")
    wait_until(lambda: captioner.steps >= before + 2)
    page.close()
    wait_until(lambda: captioner.closed == closed + 1)
    assert captioner.steps < before + 12


def test_a_click_on_an_example_compares_it(visit, address, captioner, pace):
    page = visit(address)
    link = page.locator("#image-link a")
    page.get_by_role("button", name="Only Sea").click()
    expect_state(page, "done")
    expect(page.locator("#image-media img")).to_be_visible()
    expect(link).to_have_attribute("href", re.compile("example=Sea"))
    # Another one, in the middle of a comparison, takes its place.
    pace(3)  # until it is set anew
    page.get_by_role("button", name="Only Sea").click()
    expect_state(page, "writing")
    closed = captioner.closed
    page.get_by_role("button", name="Only Sand").click()
    pace(0.0)
    # Not by the state alone: the first comparison may come to its end before the second one begins.
    expect(link).to_have_attribute("href", re.compile("example=Sand"))
    expect_state(page, "done")
    # The first one ends after the second one, and leaves its captions alone.
    wait_until(lambda: captioner.closed == closed + 2)
    page.wait_for_timeout(1_000)
    expect_state(page, "done")
    expect(link).to_have_attribute("href", re.compile("example=Sand"))
    expect(page.locator("#image-compare")).to_be_enabled()
    # A picture taken away takes its captions along.
    page.locator("#image-media").get_by_role("button", name="Remove Image").click()
    expect_state(page, "idle")


def test_errors_are_shown(visit, address, tmp_path):
    page = visit(address)
    page.click("#image-compare")
    expect(page.locator("#image-status")).to_contain_text("Choose a picture first")
    expect(page.locator(".toast-body")).to_contain_text("Choose a picture first")
    bad = tmp_path / "notes & <b>.png"
    bad.write_text("no picture")
    upload_picture(page, bad)
    # At once, and again where a comparison is wanted nevertheless.
    expect(page.locator("#image-status")).to_contain_text(".png is not an image")
    expect(page.locator("#image-compare")).to_be_enabled()
    page.click("#image-compare")
    expect(page.locator(".toast-body").filter(has_text="is not an image")).to_be_visible()
    expect(page.locator("#image-status")).to_contain_text(".png is not an image")
    expect(page.locator("#image-compare")).to_be_enabled()


def test_a_full_queue_turns_visitors_away_and_the_next_try_works(busy, visit, picture, pace):
    pace(3)
    busy._queue.max_size = 1
    pages = [visit(busy.local_url), visit(busy.local_url), visit(busy.local_url, expected="503")]
    for page in pages:
        upload_picture(page, picture)
    first, second, third = pages
    first.click("#image-compare")
    expect_state(first, "writing")
    second.click("#image-compare")
    expect(second.locator("#image-status")).to_contain_text("One moment")
    waiting = busy._queue.event_queue_per_concurrency_id["captioner"].queue
    wait_until(lambda: len(waiting) == 1)
    third.click("#image-compare")
    expect(third.locator("#image-status")).to_contain_text("Too many visitors just now")
    expect(third.locator("#image-compare")).to_be_enabled()
    pace(0.0)
    for page in (first, second):
        expect_state(page, "done")
    third.click("#image-compare")
    expect_state(third, "done")


def test_settings_reach_the_captioner(visit, address, picture):
    page = visit(address)
    upload_picture(page, picture)
    page.get_by_role("button", name="Settings").click()
    set_number(page, "#image-num_beams", 2)
    set_number(page, "#image-max_new_tokens", 4)
    expect(page.locator("#image-num_beam_groups input[type=number]")).to_have_value("2")
    page.click("#image-compare")
    expect_state(page, "done")
    # Both of the two beams begin with the same four words: one wording.
    assert captions(page, "beam") == list(dict.fromkeys(" ".join(text.split()[:4]) for text in BEAM[:2]))
    expect(column(page, "beam").locator(".folded")).to_have_text("2 candidates, 1 wording")


def test_a_sampling_column_shows_where_samples_are_asked_for(visit, address, picture, tmp_path):
    page = visit(address)
    upload_picture(page, picture)
    expect(column(page, "sampling")).to_be_hidden()
    page.get_by_role("button", name="Settings").click()
    for count in (3, 0):
        set_number(page, "#image-num_samples", count)
        page.click("#image-compare")
        expect_state(page, "done")
        expect(column(page, "sampling")).to_be_visible(visible=count > 0)
        measured = page.locator(".diversity th").filter(has_text="Sampling, first 3")
        expect(measured).to_have_count(2 if count else 0)  # the page's own measures, and the paper's
        if count:
            assert captions(page, "sampling") == list(SAMPLES)
            screenshot(page, "sampling", tmp_path)


@pytest.mark.parametrize(
    ("name", "query", "width"),
    [("dark", "?__theme=dark", 1280), ("phone", "", 390), ("small", "", 320), ("phone-dark", "?__theme=dark", 390)],
)
def test_dark_and_phone(visit, address, tmp_path, name, query, width):
    page = visit(address + query, width=width)
    assert page.evaluate("document.body.classList.contains('dark')") == ("dark" in name)
    page.get_by_role("button", name="Only Sea").click()
    expect_state(page, "done")
    expect(page.locator(".diversity")).to_be_visible()
    boxes = expect_columns_within(page, width)
    if width < 400:
        assert len({round(box["x"]) for box in boxes}) == 1, "the columns are stacked"
        expect(column(page, "hypothesis-0")).to_be_in_viewport()
    else:
        hypotheses, baselines = ({round(box["y"]) for box in row} for row in (boxes[:3], boxes[3:]))
        assert len(hypotheses) == len(baselines) == 1, "hypotheses are side by side, and so are the baselines"
        assert min(box["x"] for box in boxes) > page.locator("#image-media").bounding_box()["x"] + 200
    screenshot(page, name, tmp_path)


@pytest.mark.parametrize("query", ["", "?__theme=dark"])
def test_text_stands_out(visit, address, query):
    page = visit(address + query)
    page.get_by_role("button", name="Only Sea").click()
    expect_state(page, "done")
    expect(page.locator("#image-compare")).to_be_enabled()
    expect_settled(page)
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 40
    assert [entry for entry in contrasts if entry[0] < 4.5] == []


def test_everything_has_a_name(visit, address):
    page = visit(address)
    assert unnamed(page) == []
    expect(page.get_by_role("img", name="Only Sea")).to_have_count(1)
    for id, (label, _, _) in zip(COLUMNS, HYPOTHESES, strict=False):
        expect(page.get_by_role("region", name=label, exact=True)).to_have_attribute("data-column", id)
