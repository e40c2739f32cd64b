"""Pictures of every format and name: the page shows what the model gets, in a headless Chromium."""

import pytest
from PIL import Image

from tests.support.browsing import (
    captions,
    expect_state,
    shown_pixel,
    shown_width,
    upload_picture,
    wait_until,
)
from tests.support.fake_captioner import HYPOTHESES

pytestmark = pytest.mark.browser


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
    upload_picture(page, tmp_path / name)
    wait_until(lambda: shown_width(page) == 48)
    for place, colour in (((19, 19), (255, 0, 0)), ((44, 4), (135, 206, 235))):  # red on sky blue
        assert shown_pixel(page, *place) == pytest.approx(colour, abs=12)
    page.click("#image-compare")
    expect_state(page, "done")
    assert captions(page, "hypothesis-0") == [HYPOTHESES[0][2]]
