"""Clicks on examples: which one counts where several are on their way."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.browsing import expect_state
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.served_pages import image_tab
from ui.events import read_click

pytestmark = GRADIO_WARNINGS


@pytest.fixture(scope="module")
def address(serve, captioner, examples) -> str:
    """A page that compares its first example when it is opened."""
    return serve(image_tab(captioner, examples), opening=True)


def test_a_click_has_a_count_and_a_place():
    assert read_click("3 1", 2) == (3, 1)


@pytest.mark.parametrize("click", [None, "", "1", "1 2 3", "a b", "1 -1", "1 2", "1.5 0"])
def test_what_is_no_click_is_refused(click):
    with pytest.raises(ValueError):
        read_click(click, 2)


@pytest.mark.browser
def test_a_click_while_the_page_opens_is_not_lost(visit, address):
    """The page chooses the first example by itself; what the visitor clicks comes after it."""
    page = visit(address)
    buttons = """(places) => {
      const buttons = document.querySelectorAll('#image-examples [data-index]');
      for (const place of places) buttons[place].click();
    }"""
    for places, last in (([0, 1], "Sand"), ([1, 0], "Sea"), ([0, 1, 0, 1], "Sand")):
        page.reload()
        page.wait_for_selector("#image-examples [data-index]")
        page.evaluate(buttons, places)
        expect(page.locator("#image-link a")).to_have_attribute("href", re.compile(f"example={last}"))
        expect_state(page, "done")
        expect(page.locator("#image-media img")).to_have_attribute("src", re.compile(last))
        expect(page.locator("#image-compare")).to_be_enabled()
        assert page.locator("#image-link a").get_attribute("href").endswith(last)


@pytest.mark.browser
def test_an_answer_that_the_connection_holds_back_does_not_replace_a_later_one(visit, address):
    page = visit(address)
    page.add_init_script("""
      const plain = window.fetch;
      window.fetch = async (url, options) => {
        const answer = await plain(url, options);
        if (options?.body?.includes?.('"1 0"')) await new Promise((done) => setTimeout(done, 1500));
        return answer;
      };
    """)
    page.reload()
    page.locator("#image-examples [data-index]").nth(1).click()
    expect(page.locator("#image-link a")).to_have_attribute("href", re.compile("example=Sand"))
    page.wait_for_timeout(2000)
    expect(page.locator("#image-media img")).to_have_attribute("src", re.compile("Sand"))
    assert page.locator("#image-link a").get_attribute("href").endswith("Sand")
