"""Pictures of every format and name: the page shows what the model gets, in a headless Chromium."""

import pytest
from PIL import Image

import app
from tests.support.browsing import (
    browsing,
    captions,
    expect_state,
    shown_pixel,
    shown_width,
    start_browser,
    visiting,
    wait_until,
)
from tests.support.fake_captioner import HYPOTHESES, FakeCaptioner
from ui.modality import IMAGE
from ui.model_info import ModelInfo
from ui.page import build_page
from ui.tab import Tab

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def visit(chromium):
    with browsing() as playwright:
        browser = start_browser(playwright, chromium)
        with visiting(browser) as open_page:
            yield open_page
        browser.close()


@pytest.fixture(scope="module")
def address():
    tabs = [Tab(IMAGE, FakeCaptioner(), (), ModelInfo(can="It counts.", cannot="It does not sing."))]
    page = build_page(tabs)
    yield app.launch(page, tabs)
    page.close(verbose=False)


@pytest.mark.parametrize(
    ("name", "format"),
    [
        *(("scan.tif", "TIFF"), ("no-extension", "PNG"), ("odd.xyz", "TIFF")),
        *(("phone.heic", "HEIF"), ("phone", "HEIF"), ("map.jp2", "JPEG2000"), ("page.j2k", "JPEG2000")),
    ],
)
def test_the_server_decides_what_is_a_picture(visit, address, picture, tmp_path, name, format):
    """Also of formats that browsers do not show: a copy is shown then."""
    with Image.open(picture) as image:
        image.convert("RGB").save(tmp_path / name, format)
    page = visit(address)
    page.set_input_files("#image-media input[type=file]", str(tmp_path / name))
    wait_until(lambda: shown_width(page) == 48)
    for place, colour in (((19, 19), (255, 0, 0)), ((44, 4), (135, 206, 235))):  # red on sky blue
        assert shown_pixel(page, *place) == pytest.approx(colour, abs=12)
    page.click("#image-compare")
    expect_state(page, "done")
    assert captions(page, "hypothesis-0") == [HYPOTHESES[0][2]]
