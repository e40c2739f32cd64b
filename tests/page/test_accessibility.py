"""Every tab in use, by the rules of axe-core: in light, dark and phone width."""

import pytest
from playwright.sync_api import expect

from tests.support.accessibility import violations
from tests.support.browsing import expect_no_sideways_scroll, expect_settled, screenshot
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.tour import TABS, visit_tab, whole_page

pytestmark = [pytest.mark.browser, *GRADIO_WARNINGS]

# Whether dark, and the width.
LOOKS = {"light": (False, 1280), "dark": (True, 1280), "phone": (False, 390), "phone-dark": (True, 390)}


@pytest.fixture(scope="module")
def address(serve, clip, tmp_path_factory):
    tabs, options = whole_page(tmp_path_factory.mktemp("examples"), clip)
    return serve(*tabs, **options)


@pytest.mark.parametrize("tab", TABS)
def test_axe_finds_nothing_and_phones_do_not_scroll_sideways(visit, address, picture, clip, tmp_path, tab):
    page = visit(address)
    visit_tab(page, tab, picture, clip)
    found = []
    for look, (dark, width) in LOOKS.items():
        page.set_viewport_size({"width": width, "height": 860})
        page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", dark)
        expect_settled(page)
        found += [f"{look}: {violation}" for violation in violations(page)]
        screenshot(page, f"axe-{tab}-{look}", tmp_path)
    for width in (390, 360, 320):
        page.set_viewport_size({"width": width, "height": 800})
        expect_no_sideways_scroll(page)
    assert not found, "\n".join(found)


def test_axe_finds_what_is_wrong(visit, address):
    """A check that finds nothing must be able to find something."""
    page = visit(address)
    # Not into the page's own elements, which may still be drawn anew.
    page.evaluate(
        """document.body.insertAdjacentHTML('beforeend',
        '<p style="color: #eee; background: #fff">Pale</p><img src="preview.png">')"""
    )
    found = " ".join(violations(page))
    assert "color-contrast" in found and "image-alt" in found


GROUNDS = """(selectors) => selectors.map((selector) => {
  const bar = document.querySelector(selector);
  return [bar, bar.parentElement].map((element) => getComputedStyle(element).backgroundColor);
})"""


def test_bars_are_seen_in_forced_colours(visit, address, picture, clip):
    page = visit(address)
    visit_tab(page, "image", picture, clip)
    page.emulate_media(forced_colors="active")
    expect_settled(page)
    for bar, ground in page.evaluate(GROUNDS, [".bar i", ".caption-column .badge"]):
        assert bar != ground


DRAWN = """(selectors) => selectors.map((selector) => {
  const style = getComputedStyle(document.querySelector(selector));
  return [style.appearance, style.borderTopWidth];
})"""


def test_controls_are_seen_in_forced_colours(visit, address, picture, clip):
    page = visit(address)
    page.locator("#image-settings > button").click()
    expect(page.locator("#image-num_beams input[type=range]")).to_be_visible()
    page.emulate_media(forced_colors="active")
    expect_settled(page)
    # The system draws what Gradio draws by backgrounds, which are gone; buttons have borders.
    parts = ["#image-num_beams input[type=range]", "#image-settings input[type=checkbox]", "#image-compare"]
    (slider, _), (box, _), (_, border) = page.evaluate(DRAWN, parts)
    assert (slider, box, border) == ("auto", "auto", "1px")


RING = """() => {
  const {outlineStyle, outlineWidth} = getComputedStyle(document.activeElement);
  return [outlineStyle, outlineWidth];
}"""


def test_what_the_keyboard_is_at_is_seen(visit, address, picture, clip):
    page = visit(address)
    page.locator("#image-settings > button").click()
    expect(page.locator("#image-num_beams input[type=range]")).to_be_visible()
    page.keyboard.press("Tab")
    for selector in ("#image-num_beams input[type=range]", "#image-compare", "#image-examples button"):
        page.locator(selector).first.focus()
        style, width = page.evaluate(RING)
        assert style == "solid" and float(width.removesuffix("px")) >= 2, selector
