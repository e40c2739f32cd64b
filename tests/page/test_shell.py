"""Around the captions: the page's head, what is seen without scrolling, focus, headings, print, reduced motion."""

import io
import re
import urllib.request
from collections import Counter
from itertools import pairwise

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

import app
from lora_mcl.types import CompareOptions
from tests.support.browsing import (
    COLUMNS,
    captions,
    column,
    column_boxes,
    expect_no_sideways_scroll,
    expect_state,
    set_number,
    wait_until,
)
from tests.support.fake_captioner import HYPOTHESES, FakeCaptioner
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.served_pages import audio_tab, image_tab, listed_examples
from ui.markov_demo import _stills
from ui.markov_runs import load_demos
from ui.page_head import DESCRIPTION, PREVIEW_SIZE, TITLE, with_head
from ui.repeated import RepeatedCaptioner

pytestmark = [pytest.mark.browser, *GRADIO_WARNINGS]


@pytest.fixture(scope="module")
def address(serve, captioner, examples):
    """The page as `app.py` serves it: both tabs and the demo; the first example is compared at once."""
    tabs = (image_tab(captioner, examples), audio_tab())
    return serve(*tabs, demos=load_demos(app.RESULTS / "markov"), opening=True)


def fetch(address: str) -> tuple[bytes, str]:
    with urllib.request.urlopen(address, timeout=60) as answer:
        return answer.read(), answer.headers["content-type"]


def test_link_previews_show_this_page(address):
    page = fetch(address)[0].decode()
    head = page.partition("<script type")[0]
    tags = re.findall(r'<meta (?:property|name)="((?:og|twitter):[^"]+|description)" content="([^"]*)"', head)
    assert max(Counter(name for name, _ in tags).values()) == 1
    found = dict(tags)
    assert found["og:title"] == TITLE and found["description"] == found["og:description"] == DESCRIPTION
    assert f"<title>{TITLE}</title>" in head and "gradio.app" not in head.partition("<script")[0]
    assert found["og:url"] == address
    picture, kind = fetch(found["og:image"])
    with Image.open(io.BytesIO(picture)) as preview:
        assert preview.size == PREVIEW_SIZE and kind == "image/png"
    icon, kind = fetch(f"{address}favicon.ico")
    assert kind.startswith("image/svg+xml") and b"<svg" in icon


def test_nothing_after_the_first_script_is_rewritten():
    script = '<script>"<meta property=\\"og:title\\" content=\\"mine\\">"</script>'
    page = f'<html><head><meta property="og:title" content="Gradio" /></head>{script}'
    shown = with_head(page, "http://here")
    assert 'content="Gradio"' not in shown and "mine" in shown and 'content="http://here/preview.png"' in shown


@pytest.mark.parametrize(("locale", "language"), [("en-GB", "en"), ("fr-CA", "fr"), ("de-DE", "en")])
def test_the_page_says_which_of_its_languages_it_is_in(browser, address, locale, language):
    context = browser.new_context(locale=locale)
    page = context.new_page()
    page.goto(address)
    expect(page.locator(".caption-column").first).to_be_visible()
    expect(page).to_have_title(TITLE)
    expect(page.locator("html")).to_have_attribute("lang", language)
    context.close()


def test_a_visitor_finds_a_finished_example(visit, address):
    page = visit(address)
    expect_state(page, "done")
    assert captions(page, "hypothesis-0") == [HYPOTHESES[0][2]]
    expect(page.locator("#image-media img")).to_be_visible()
    phone = visit(address, width=390)
    expect_state(phone, "done")
    assert phone.evaluate("scrollY") == 0, "nothing moves before the visitor has done anything"


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1920, 940)])
def test_the_answer_is_seen_where_the_click_was(visit, address, width, height):
    page = visit(address, width, height)
    page.get_by_role("button", name="Only Sand").click()
    expect_state(page, "done")
    for id in COLUMNS:
        expect(column(page, id)).to_be_in_viewport(ratio=1)
    expect(page.locator("#image-media img")).to_be_in_viewport(ratio=1)
    assert page.evaluate("scrollY") == 0


@pytest.mark.parametrize(("motion", "locale"), [("reduce", "en-US"), ("no-preference", "fr-FR")])
def test_on_a_phone_the_answer_comes_into_view(visit, serve, captioner, tmp_path, pace, motion, locale):
    files = [tmp_path / f"{number}.png" for number in range(12)]
    for number, file in enumerate(files):
        Image.new("RGB", (90, 60), (20 * number, 90, 90)).save(file)
    page = visit(
        serve(image_tab(RepeatedCaptioner(captioner, 8), listed_examples(files, "Only {}"))), 390, 800, locale=locale
    )
    page.emulate_media(reduced_motion=motion)
    # All examples are in one row, which scrolls by itself.
    assert page.locator("#image-examples").bounding_box()["height"] < 180
    expect_no_sideways_scroll(page)
    first, link = column(page, "hypothesis-0"), page.locator("#image-link a")
    example = page.get_by_role("button", name="Only 11")
    for click in (example.click, lambda: page.click("#image-compare"), example.click):  # the second time from memory
        click()
        expect(first).to_be_in_viewport(ratio=1)
        expect(link).to_have_attribute("href", re.compile("example=11"))
        expect_state(page, "done")
        expect(page.locator("#image-compare")).to_be_enabled()
        expect(first).to_be_in_viewport(ratio=1)
        scroll_up(page)
    # Who scrolls away meanwhile stays there.
    pace(0.5)
    page.get_by_role("button", name="Only 10").click()
    expect_state(page, "writing")
    expect(first).to_be_in_viewport(ratio=1)
    scroll_up(page)
    pace(0.0)
    expect_state(page, "done")
    page.wait_for_timeout(1_500)
    assert page.evaluate("scrollY") == 0


def scroll_up(page: Page) -> None:
    """To the top, as a visitor does: again, where the page was still scrolling by itself."""

    def is_up() -> bool:
        page.mouse.wheel(0, -2_000)
        page.wait_for_timeout(200)
        return page.evaluate("scrollY") == 0

    wait_until(is_up)


@pytest.mark.parametrize("width", [320, 360])
def test_small_phones_do_not_scroll_sideways(visit, address, width):
    page = visit(address)
    expect_state(page, "done")
    for tab in ("Image", "Audio", "How it works"):
        # Where all tabs are in sight.
        page.set_viewport_size({"width": 1280, "height": 800})
        page.get_by_role("tab", name=tab).click()
        page.set_viewport_size({"width": width, "height": 800})
        expect_no_sideways_scroll(page)
        # No button is cut off at the side.
        for button in page.locator(".actions:visible button").all():
            box = button.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= width, button.inner_text()


def focused(page: Page) -> str:
    return page.evaluate("document.activeElement.id")


def test_the_focus_stays_at_the_buttons(visit, address, pace):
    page = visit(address)
    expect_state(page, "done")
    pace(3)
    page.locator("#image-compare").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#image-stop")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#image-status")).to_contain_text("Stopped")
    expect(page.locator("#image-compare")).to_be_focused()
    # Who has gone elsewhere is left there.
    page.keyboard.press("Enter")
    expect(page.locator("#image-stop")).to_be_focused()
    page.get_by_role("tab", name="Image").focus()
    pace(0.0)
    expect(page.locator("#image-compare")).to_be_enabled()
    expect(page.get_by_role("tab", name="Image")).to_be_focused()


def test_enter_compares(visit, address):
    page = visit(address)
    expect_state(page, "done")
    for keys in ("Enter", "Control+Enter"):
        expect(page.locator("#image-compare")).to_be_enabled()
        with page.expect_response("**/queue/join*"):
            page.keyboard.press(keys)
    expect_state(page, "done")
    # Where it has a meaning of its own, it keeps that.
    page.get_by_role("button", name="Settings").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#image-num_beams")).to_be_visible()
    # Groups that do not divide the beams change, with a notice.
    set_number(page, "#image-num_beams", 4)
    expect(page.locator("#image-status")).to_contain_text("4 beams cannot be 3 equal groups: Groups is 2 now.")
    expect(page.locator("#image-num_beam_groups input[type=number]")).to_have_value("2")


@pytest.mark.parametrize(
    ("name", "typed", "kept", "said"),
    [
        ("num_beams", "99", "12", "From 1 to 12: 99 became 12."),
        ("num_beams", "0", "1", "From 1 to 12: 0 became 1."),
        ("diversity_penalty", "3.5", "3", "From 0 to 3: 3.5 became 3."),
        ("seed", "-4", "0", "From 0 to 9999: -4 became 0."),
        ("max_new_tokens", "", "4", "From 4 to 128: it is 4 now."),
    ],
)
def test_a_number_out_of_bounds_is_said(visit, address, name, typed, kept, said):
    page = visit(address)
    expect_state(page, "done")
    page.get_by_role("button", name="Settings").click()
    block = page.locator(f"#image-{name}")
    number = block.locator("input[type=number]")

    def is_said() -> bool:
        """Typed again, where the settings were still being drawn and put the old number back."""
        number.fill(typed)
        number.press("Enter")
        page.wait_for_timeout(200)
        return block.get_by_role("alert").count() == 1

    wait_until(is_said)
    expect(block.get_by_role("alert")).to_have_text(said)
    expect(number).to_have_value(kept)
    expect(block.locator("input[type=range]")).to_have_value(kept)
    # It stays until another number is given, also while captions are written.
    page.click("#image-compare")
    expect(page.locator("#image-compare")).to_be_enabled()
    expect_state(page, "done")
    expect(block.get_by_role("alert")).to_have_text(said)
    number.fill(kept)
    expect(block.get_by_role("alert")).to_have_count(0)
    number.press("Tab")
    expect(block.get_by_role("alert")).to_have_count(0)


def test_a_number_out_of_bounds_is_said_in_french_too(visit, address):
    page = visit(address, locale="fr-FR")
    page.locator("#image-settings > button").click()
    number = page.locator("#image-diversity_penalty input[type=number]")
    number.fill("3.5")
    # The first thing after typing is a click elsewhere: it must not hide what is said.
    page.click("#image-compare")
    said = page.locator("#image-diversity_penalty").get_by_role("alert")
    expect(said).to_have_text(re.compile(r"De 0 à 3\s: 3,5 est devenu 3\."))


def test_a_file_that_is_no_picture_leaves_no_broken_image(visit, address, tmp_path):
    page = visit(address)
    expect_state(page, "done")
    (tmp_path / "notes.png").write_text("no picture")
    page.set_input_files("#image-media input[type=file]", str(tmp_path / "notes.png"))
    expect(page.locator("#image-status")).to_contain_text("is not an image")
    expect(page.locator("#image-media .image-frame img")).to_be_hidden()
    page.get_by_role("button", name="Only Sand").click()
    expect(page.locator("#image-media .image-frame img")).to_be_visible()


LEVELS = """() => [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].filter((e) => e.getClientRects().length)
.map((e) => Number(e.tagName[1]))"""


def test_headings_are_in_order(visit, address):
    page = visit(address)
    expect_state(page, "done")
    for tab in ("Image", "Audio", "How it works"):
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tabpanel").get_by_role("heading").first).to_be_visible()
        levels = page.evaluate(LEVELS)
        assert levels[0] == 1 and levels.count(1) == 1 and len(levels) > 2
        assert all(deeper <= level + 1 for level, deeper in pairwise(levels)), (tab, levels)


def test_captions_and_figures_are_read_apart(visit, address):
    page = visit(address)
    expect_state(page, "done")
    assert "bicycle, log-prob." in column(page, "beam").locator("li").first.text_content()
    # No language is claimed that nobody knows.
    assert page.locator(".answers[lang='']").count() == 0


def test_on_paper_there_are_the_medium_and_its_captions(visit, address):
    page = visit(address)
    expect_state(page, "done")
    page.emulate_media(media="print")
    for id in COLUMNS:
        expect(column(page, id)).to_be_visible()
    expect(page.locator("#image-media img")).to_be_visible()
    for hidden in ("#image-compare", "#image-settings", "#image-examples", "footer"):
        expect(page.locator(hidden)).to_be_hidden()


def rows_of(page: Page) -> list[list[str]]:
    """Ids of the columns that are shown, row by row."""
    shown = page.locator(".caption-column").evaluate_all(
        "(all) => all.filter((one) => one.checkVisibility()).map((one) => one.dataset.column)"
    )
    rows: dict[int, list[str]] = {}
    for id, box in zip(shown, column_boxes(page, tuple(shown)), strict=True):
        rows.setdefault(round(box["y"]), []).append(id)
    return [rows[y] for y in sorted(rows)]


@pytest.mark.parametrize(("hypotheses", "rows"), [(1, [3]), (2, [2, 2]), (5, [4, 3]), (7, [3, 3, 3])])
def test_no_column_is_alone_in_a_row(visit, serve, hypotheses, rows):
    every = tuple((f"Way {k + 1}", "", f"Answer {k + 1}.") for k in range(hypotheses))
    page = visit(serve(image_tab(FakeCaptioner(hypotheses=every))), 1280, 900)
    wait_until(lambda: [len(row) for row in rows_of(page)] == rows)
    order = [id for row in rows_of(page) for id in row]
    assert order == [*(f"hypothesis-{k}" for k in range(hypotheses)), "beam", "diverse-beam"]


def test_six_columns_are_three_and_three(visit, serve):
    sampling = FakeCaptioner(defaults=CompareOptions(num_samples=2))
    page = visit(serve(image_tab(sampling)), 1440, 900)
    expect(column(page, "sampling")).to_be_visible()
    wait_until(lambda: [len(row) for row in rows_of(page)] == [3, 3])


SHOWN = """() => {
  const board = document.querySelector('.demo').closest('.block');
  window.steps = [];
  new MutationObserver(() => window.steps.push(document.querySelector('.demo').dataset.step))
    .observe(board, {subtree: true, childList: true, attributes: true});
}"""


def test_play_shows_a_few_stills_to_who_wants_reduced_motion(browser, address):
    demos = load_demos(app.RESULTS / "markov")
    expected = [frame.step for frame in _stills(demos[0].recorded.frames)]
    assert len(expected) == 5 and expected[0] == 0 and expected[-1] == demos[0].recorded.steps
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.goto(address)
    page.get_by_role("tab", name="How it works").click()
    expect(page.locator(".demo")).to_be_visible()
    page.evaluate(SHOWN)
    page.click("#markov-play")
    expect(page.locator("#markov-play")).to_be_disabled()
    expect(page.locator("#markov-play")).to_be_enabled()
    steps = {int(step) for step in page.evaluate("window.steps")}
    assert steps and steps <= set(expected)
    context.close()
