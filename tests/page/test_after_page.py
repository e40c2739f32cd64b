"""What a tab offers after a comparison, in a headless Chromium and through gradio_client."""

import csv
import re
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from playwright.sync_api import Page, expect

from tests.support.browsing import (
    captions,
    expect_no_sideways_scroll,
    expect_state,
    screenshot,
    set_number,
    unnamed,
    wait_until,
)
from tests.support.fake_captioner import BEAM, DIVERSE, HYPOTHESES
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.served_pages import image_tab
from ui.votes import VoteStore

pytestmark = [pytest.mark.browser, *GRADIO_WARNINGS]

SENTENCES = [sentence for _, _, sentence in HYPOTHESES]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> VoteStore:
    return VoteStore(tmp_path_factory.mktemp("votes") / "votes.sqlite")


@pytest.fixture(scope="module")
def address(serve, captioner, examples, store):
    """The page with votes."""
    return serve(image_tab(captioner, examples), votes=store)


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


def test_a_link_restores_the_comparison_of_an_example(visit, address):
    page = visit(address)
    page.get_by_role("button", name="Settings").click()
    set_number(page, "#image-num_beams", 2)
    compare_example(page, "Sand")
    expect_state(page, "done")
    link = page.locator("#image-link a")
    expect(link).to_have_text("Link to this comparison")
    target = link.get_attribute("href")
    assert target == "?tab=image&model=fake&example=Sand&num_beams=2&num_beam_groups=2"
    again = visit(address + target)
    expect_state(again, "done")
    assert captions(again, "beam") == list(BEAM[:2])
    expect(again.locator("#image-media img")).to_be_attached()
    expect(again.locator("#image-link a")).to_have_attribute("href", target)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?tab=video", "This link is for a tab that is not here: 'video'."),
        ("?tab=image&example=gone", "There is no example 'gone' here any more: choose another."),
        ("?tab=image&num_beams=99", "Beams (num_beams) must be a whole number from 1 to 12, not 99."),
        ("?tab=image&model=<b>old", "This link was made with the model <b>old; this page runs fake."),
    ],
)
def test_a_bad_link_gives_a_sentence(visit, address, query, sentence):
    page = visit(address + query)
    expect(page.locator("#image-status")).to_have_text(sentence)
    expect_state(page, "idle")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_a_blind_vote(visit, address, store, tmp_path, width, scheme):
    before = store.count("image", "fake")
    page = visit(address, width=width)
    if scheme == "dark":
        page.evaluate("document.body.classList.add('dark')")
    page.get_by_label("Blind vote").check()
    expect(page.locator(".board")).to_be_hidden()
    expect(page.locator("#image-vote .awaited")).to_have_text(re.compile("come here without names"))
    compare_example(page)
    expect(page.locator("#image-vote .awaited")).to_be_hidden()
    options = page.locator("#image-vote button[data-choice]")
    # Both searches begin with the same caption.
    expect(options).to_have_count(4)
    texts = options.locator(".caption").all_inner_texts()
    assert sorted(texts) == sorted({*SENTENCES, BEAM[0], DIVERSE[0]})
    assert not any(label in page.locator("#image-vote").inner_text() for label, _, _ in HYPOTHESES)
    expect(page.locator(".board")).to_be_hidden()
    screenshot(page, f"vote-{width}-{scheme}", tmp_path)
    page.get_by_label("Blind vote").focus()  # where it was clicked
    page.keyboard.press("9")  # not there
    page.keyboard.press("2")
    heading = page.locator("#image-vote h2")
    names = {sentence: label for label, _, sentence in HYPOTHESES} | {BEAM[0]: "Beam search and Diverse beam search"}
    expect(heading).to_have_text(f"You kept the caption of {names[texts[1]]}.")
    expect(page.locator(".board")).to_be_visible()
    assert store.count("image", "fake") == before + 1
    expect(page.locator("#image-vote tbody tr")).to_have_count(5)
    # The answer stands where the question was.
    assert page.locator("#image-vote").bounding_box()["y"] < page.locator(".board:visible").bounding_box()["y"]
    expect_no_sideways_scroll(page)
    screenshot(page, f"voted-{width}-{scheme}", tmp_path)
    # A vote counts once.
    page.keyboard.press("1")
    page.wait_for_timeout(300)
    assert store.count("image", "fake") == before + 1


def test_without_a_blind_vote_nothing_is_asked(visit, address):
    page = visit(address)
    compare_example(page)
    expect_state(page, "done")
    expect(page.locator("#image-link a")).to_be_visible()
    expect(page.locator("#image-vote button")).to_have_count(0)


def test_the_endpoint_gives_win_rates_and_all_votes(visit, address, store):
    page = visit(address)
    page.get_by_label("Blind vote").check()
    compare_example(page)
    page.locator("#image-vote button[data-choice]").first.click()
    expect(page.locator("#image-vote tbody")).to_be_visible()
    votes = store.count("image", "fake")
    rates, file = Client(address, verbose=False).predict(api_name="/votes_image")
    assert rates["votes"] == votes and {column["shown"] for column in rates["columns"]} == {votes}
    assert all(0 <= column["low"] <= column["share"] <= column["high"] <= 1 for column in rates["columns"])
    rows = list(csv.DictReader(Path(file).read_text(encoding="utf-8-sig").splitlines()))
    assert len(rows) == 5 * votes and sum(row["won"] == "1" for row in rows) >= votes
    wait_until(lambda: page.locator(".board").is_visible())
