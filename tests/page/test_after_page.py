"""What a tab offers after a comparison, in a headless Chromium and through gradio_client."""

import json
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from playwright.sync_api import Page, expect

import app
from tests.support.browsing import (
    browsing,
    expect_state,
    screenshot,
    start_browser,
    unnamed,
    visiting,
)
from tests.support.fake_captioner import HYPOTHESES, FakeCaptioner
from tests.support.gradio_warnings import GRADIO_WARNINGS
from ui.examples import load_examples
from ui.modality import IMAGE
from ui.model_info import ModelInfo
from ui.page import build_page
from ui.tab import Tab

pytestmark = [pytest.mark.browser, *GRADIO_WARNINGS]

SENTENCES = [sentence for _, _, sentence in HYPOTHESES]


@pytest.fixture(scope="module")
def browser(chromium):
    with browsing() as playwright:
        browser = start_browser(playwright, chromium)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    with visiting(browser) as open_page:
        yield open_page


@pytest.fixture(scope="module")
def captioner() -> FakeCaptioner:
    return FakeCaptioner()


@pytest.fixture(scope="module")
def address(captioner, tmp_path_factory):
    """The page of the fake captioner with two examples."""
    folder = tmp_path_factory.mktemp("examples")
    entries = []
    for title, colour in (("Sea", "teal"), ("Sand", "goldenrod")):
        Image.new("RGB", (90, 60), colour).save(folder / f"{title}.png")
        entries.append({"file": f"{title}.png", "title": title, "alt": f"Only {title}", "credit": "Us"})
    (folder / "examples.json").write_text(json.dumps(entries))
    tabs = [Tab(IMAGE, captioner, load_examples(folder), ModelInfo(can="It counts.", cannot="It does not sing."))]
    page = build_page(tabs)
    yield app.launch(page, tabs)
    page.close(verbose=False)


def compare_example(page: Page, title: str = "Sea") -> None:
    page.get_by_role("button", name=f"Only {title}").click()


def test_slides_are_downloaded(visit, address, tmp_path):
    page = visit(address)
    expect(page.locator("#image-after")).to_be_hidden()
    compare_example(page)
    expect_state(page, "done")
    expect(page.locator("#image-slide-png")).to_be_visible()
    for kind in ("png", "svg"):
        with page.expect_download() as download:
            page.click(f"#image-slide-{kind}")
        assert download.value.suggested_filename == f"comparison.{kind}"
        download.value.save_as(tmp_path / f"slide.{kind}")
    with Image.open(tmp_path / "slide.png") as slide:
        assert slide.size == (1920, 1080) and slide.convert("RGB").getpixel((300, 540)) == (0, 128, 128)
    assert all(sentence.split()[0] in (tmp_path / "slide.svg").read_text() for sentence in SENTENCES)
    assert unnamed(page) == []
    screenshot(page, "after-1280", tmp_path)


def test_the_slide_of_the_svg_looks_like_the_png(visit, address, browser, tmp_path):
    slide = Client(address, verbose=False).predict(
        media=handle_file(str(picture_of(tmp_path))), kind="svg", api_name="/slide_image"
    )
    page = browser.new_page(viewport={"width": 1920, "height": 1080})
    page.goto(Path(slide).as_uri())
    boxes = page.evaluate("[...document.querySelectorAll('text')].map((t) => t.getBBox().x + t.getBBox().width)")
    assert len(boxes) > 10 and max(boxes) <= 1920
    page.close()


def picture_of(folder: Path) -> Path:
    file = folder / "red.png"
    Image.new("RGB", (60, 90), "red").save(file)
    return file


@pytest.mark.parametrize(("kind", "start"), [("png", b"\x89PNG"), ("svg", b"<svg")])
def test_the_endpoint_makes_slides(address, tmp_path, kind, start):
    client = Client(address, verbose=False)
    slide = client.predict(media=handle_file(str(picture_of(tmp_path))), kind=kind, api_name="/slide_image")
    assert Path(slide).read_bytes().startswith(start)


def test_the_endpoint_refuses_with_a_sentence(address, tmp_path):
    client = Client(address, verbose=False)
    with pytest.raises(AppError, match="kind must be png or svg, not 'pdf'"):
        client.predict(media=handle_file(str(picture_of(tmp_path))), kind="pdf", api_name="/slide_image")
    with pytest.raises(AppError, match="Choose a picture first"):
        client.predict(media=None, kind="png", api_name="/slide_image")
