"""What the browser tests take for an error: what a page reports, but not what is broken off when it is left."""

import pytest
from playwright.sync_api import expect

from tests.support.browsing import expect_state, upload_picture, visiting
from tests.support.gradio_warnings import GRADIO_WARNINGS

pytestmark = [pytest.mark.browser, *GRADIO_WARNINGS]


@pytest.mark.parametrize("how", ["goto", "reload", "close"])
def test_a_page_that_is_left_while_captions_are_written(visit, address, picture, pace, how):
    pace(3)
    page = visit(address)
    upload_picture(page, picture)
    page.click("#image-compare")
    expect_state(page, "writing")
    if how == "close":
        page.close()
        return
    if how == "goto":
        page.goto(f"{address}?__theme=dark")
    else:
        page.reload()
    expect(page.locator("h1")).to_be_visible()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("setTimeout(() => { throw new Error('broken'); })", "broken"),
        ("Promise.reject(new DOMException('gone', 'AbortError')); 0", "gone"),
        ("console.error('printed')", "printed"),
    ],
)
def test_an_error_of_a_page_that_stays_is_found(browser, address, fault, said):
    with pytest.raises(AssertionError, match=said), visiting(browser) as open_page:
        page = open_page(address)
        page.evaluate(fault)
        page.wait_for_timeout(300)
