"""The HTML report in a Chromium that is offline."""

import pytest

from lora_mcl.report import CaptionedFile, opened_report
from tests.support.browsing import screenshot
from tests.support.captioned import captioned, captioned_sound

pytestmark = pytest.mark.browser


@pytest.fixture
def report(tmp_path, picture, clip):
    path = tmp_path / "report.html"
    with opened_report(path, "Captions of 3 files") as report:
        report.add(captioned(picture))
        report.add(captioned_sound(clip))
        report.add(CaptionedFile("broken.png", tmp_path / "broken.png", error="broken.png is damaged: retry."))
    return path


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_it_opens_offline(browser, report, tmp_path, width, scheme):
    context = browser.new_context(offline=True, viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    troubles, asked = [], []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("request", lambda request: asked.append(request.url.split(",")[0]))
    page.goto(report.as_uri())
    assert page.title() == "Captions of 3 files · LoRA-MCL Studio"
    assert page.evaluate("document.images.length === 1 && document.images[0].naturalWidth === 48")
    page.wait_for_function("document.querySelector('audio').readyState > 0")
    assert page.evaluate("document.querySelector('audio').duration") == pytest.approx(0.8, abs=0.1)
    assert page.locator("article").count() == 3
    assert page.get_by_text("Left out: broken.png is damaged: retry.").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(250, 249, 246)", "dark": "rgb(21, 20, 18)"}[scheme]
    assert set(asked) <= {report.as_uri(), "data:image/jpeg;base64", "data:audio/mpeg;base64"} and not troubles
    screenshot(page, f"report-{width}-{scheme}", tmp_path)
    context.close()


def test_print_is_on_white_without_players(browser, report):
    page = browser.new_page(color_scheme="dark")
    page.goto(report.as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ink')").strip() == "#1f1d1a"
    assert not page.locator("audio").is_visible() and page.locator("img").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.close()
