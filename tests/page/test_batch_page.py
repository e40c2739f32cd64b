"""The Batch tab in a headless Chromium, and its endpoint through gradio_client."""

import csv
import json
import shutil
import zipfile
from pathlib import Path

import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect

from lora_mcl.languages import language_of
from tests.support.browsing import attributes, expect_no_sideways_scroll, screenshot, unnamed, wait_until
from tests.support.fake_captioner import HYPOTHESES, FakeAudioCaptioner
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.served_pages import audio_tab, image_tab

pytestmark = [pytest.mark.browser, *GRADIO_WARNINGS]


@pytest.fixture
def visit(visit):
    """Open an address on its Batch tab."""

    def open_tab(address: str, **options) -> Page:
        page = visit(address, **options)
        page.get_by_role("tab", name="Batch").click()
        expect(page.locator("#batch-start")).to_be_visible()
        return page

    return open_tab


@pytest.fixture(scope="module")
def address(serve, captioner, clip):
    # The resampler and the languages take long to load.
    FakeAudioCaptioner().audio_view(clip)
    language_of("two sheep and a bicycle")
    return serve(image_tab(captioner), audio_tab())


@pytest.fixture
def files(picture, clip, tmp_path) -> list[Path]:
    """A sound, and an archive with a picture, a broken one and a text."""
    archive = tmp_path / "pictures.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(picture, "photos/picture.png")
        packed.writestr("photos/broken.png", picture.read_bytes()[:60])
        packed.writestr("photos/notes.txt", "Not a picture.")
    return [clip, archive]


def give(page: Page, files: list[Path]) -> None:
    page.set_input_files("#batch-files input[type=file]", [str(file) for file in files])
    expect(page.locator("#batch-files").get_by_text(files[-1].suffix, exact=False).first).to_be_visible()


def order(page: Page) -> list[str]:
    return attributes(page, "table.batch tr", "data-index")


def choose(page: Page, selector: str, option: str) -> None:
    page.locator(f"{selector} input").click()
    page.get_by_role("option", name=option, exact=True).click()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_a_batch_fills_the_table(visit, address, files, tmp_path, width, scheme):
    page = visit(address, width=width)
    page.emulate_media(color_scheme=scheme)
    if scheme == "dark":
        page.evaluate("document.body.classList.add('dark')")
    give(page, files)
    page.click("#batch-start")
    expect(page.locator("#batch-status")).to_contain_text("2 of 4 files captioned in about")
    expect(page.locator("#batch-status")).to_contain_text("2 could not be captioned")
    wait_until(lambda: sorted(order(page)) == ["0", "1", "2", "3"])
    rows = page.locator("table.batch tr")
    expect(rows.locator(".message")).to_have_count(2)
    for index in ("0", "1"):
        row = page.locator(f'table.batch tr[data-index="{index}"]')
        assert row.locator(".hypothesis .caption").all_inner_texts() == [sentence for _, _, sentence in HYPOTHESES]
    assert page.locator("table.batch img").evaluate("image => image.naturalWidth") == 48
    page.wait_for_function("document.querySelector('table.batch audio').readyState > 0")
    expect_no_sideways_scroll(page)
    assert unnamed(page) == []
    screenshot(page, f"batch-{width}-{scheme}", tmp_path)


def test_rows_are_sorted_and_filtered(visit, address, picture, clip, tmp_path, captioner):
    texts = iter(["a cow", "two sheep and a red bicycle on the grass of a field", "deux moutons et un vélo rouge"])
    files = []
    for name in ("a.png", "b.png", "c.png"):
        files.append(Path(shutil.copy(picture, tmp_path / name)))
    sentences = {file.name: text for file, text in zip(files, texts, strict=True)}
    hypotheses = captioner.hypotheses
    # Both hypotheses give a picture the same caption, except the second picture.
    compare = captioner.compare

    def by_name(media, *arguments, **options):
        text = sentences[Path(media).name.split("-")[-1]]
        second = text if Path(media).name != "b.png" else "a house"
        captioner.hypotheses = (("One", "", text), ("Two", "", second))
        return compare(media, *arguments, **options)

    captioner.compare = by_name
    try:
        page = visit(address)
        give(page, files)
        page.click("#batch-start")
        expect(page.locator("#batch-status")).to_contain_text("3 of 3 files captioned")
        choose(page, "#batch-sort", "Longest first")
        wait_until(lambda: order(page) == ["1", "2", "0"])
        choose(page, "#batch-sort", "Shortest first")
        wait_until(lambda: order(page) == ["0", "2", "1"])
        choose(page, "#batch-sort", "Most disagreement first")
        wait_until(lambda: order(page) == ["1", "0", "2"])
        choose(page, "#batch-language", "French")
        wait_until(lambda: order(page) == ["2"])
        expect(page.locator("#batch-table .count")).to_have_text("1 of 3 rows match")
        choose(page, "#batch-language", "Any language")
        page.locator("#batch-words input[type=number]").fill("3")
        page.locator("#batch-words input[type=number]").press("Tab")
        wait_until(lambda: order(page) == ["1", "2"])
        page.locator("#batch-words input[type=number]").fill("0")
        page.locator("#batch-words input[type=number]").press("Tab")
        page.locator("#batch-disagreement input[type=number]").fill("50")
        page.locator("#batch-disagreement input[type=number]").press("Tab")
        wait_until(lambda: order(page) == ["1"])
    finally:
        del captioner.compare
        captioner.hypotheses = hypotheses


def test_the_downloads(visit, address, files, browser, tmp_path):
    page = visit(address)
    give(page, files)
    page.click("#batch-start")
    found = {}
    for name in ("csv", "json", "report"):
        with page.expect_download() as download:
            page.click(f"#batch-{name}")
        found[name] = tmp_path / download.value.suggested_filename
        download.value.save_as(found[name])
    assert len(json.loads(found["json"].read_text(encoding="utf-8"))["files"]) == 4
    assert len(list(csv.DictReader(found["csv"].open(encoding="utf-8-sig", newline="")))) == 2 * 9 + 2
    report = browser.new_page()
    report.goto(found["report"].as_uri())
    assert report.locator("article").count() == 4 and "Captions of 4 files" in report.title()
    report.close()


def test_stop_keeps_what_is_done(visit, address, picture, tmp_path, captioner, pace):
    files = [Path(shutil.copy(picture, tmp_path / f"{n}.png")) for n in range(9)]
    pace(0.1)
    page = visit(address)
    give(page, files)
    page.click("#batch-start")
    expect(page.locator("#batch-status")).to_contain_text("left")
    pace(2)  # so that it is not over before Stop reaches it
    page.click("#batch-stop")
    expect(page.locator("#batch-status")).to_contain_text("of 9 files are captioned, and stay.")
    done = page.locator("table.batch tr").count()
    assert 1 <= done < 9
    steps = captioner.steps
    with page.expect_download() as download:
        page.click("#batch-json")
    download.value.save_as(tmp_path / "captions.json")
    assert len(json.loads((tmp_path / "captions.json").read_text())["files"]) == done
    assert captioner.steps == steps
    expect(page.locator("#batch-start")).to_be_enabled()


def test_without_files(visit, address, files):
    page = visit(address)
    page.click("#batch-start")
    expect(page.locator("#batch-status .problem")).to_have_text(
        "Choose files first: pictures, sounds, or a zip of them."
    )
    expect(page.locator("#batch-start")).to_be_enabled()
    # With other files it no longer holds.
    give(page, files)
    expect(page.locator("#batch-status .problem")).to_have_count(0)


def test_the_endpoint_captions_files(client, files):
    sent = [handle_file(str(file)) for file in files]
    job = client.submit(files=sent, num_beams=2, num_beam_groups=2, api_name="/caption_files")
    final = job.result(timeout=120)
    assert (final["done"], final["total"]) == (4, 4)
    assert [file["file"] for file in final["files"]] == [
        "clip.wav",
        "photos/picture.png",
        "photos/broken.png",
        "photos/notes.txt",
    ]
    sound, image, broken, text = final["files"]
    assert sound["model"] == image["model"] == "fake" and image["settings"]["num_beams"] == 2
    assert [len(column["captions"]) for column in image["columns"]] == [1, 1, 1, 2, 2]
    assert "is damaged" in broken["error"] and "neither an image nor a sound" in text["error"]
    assert job.outputs()[0] == {"done": 0, "total": 4, "seconds_left": None, "files": []}
    assert [state["done"] for state in job.outputs()] == sorted(state["done"] for state in job.outputs())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"files": []}, "Choose files first"),
        ({"files": "nothing"}, "Choose files first"),
        ({"files": [{"path": "/etc/passwd"}]}, "passwd was not uploaded"),
        ({"files": ["data:image/png;base64,AAAA"], "num_beams": 99}, r"Beams \(num_beams\) must be a whole number"),
    ],
)
def test_the_endpoint_refuses_with_a_sentence(client, given, message):
    with pytest.raises(AppError, match=message):
        client.predict(api_name="/caption_files", **given)
