"""A page with all its tabs and panels, and a tour of it that finds its way in any language."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, expect

import app
from lora_mcl.bundle import Bundle
from lora_mcl.bundle.bundle import EMBEDDED_AUDIO_BUNDLE, EMBEDDED_BUNDLE, load_bundle
from lora_mcl.languages import language_of
from tests.support.browsing import expect_state, upload_sound
from tests.support.fake_captioner import FakeAudioCaptioner, FakeCaptioner
from ui.better import load_better
from ui.examples import load_examples
from ui.markov_runs import load_demos
from ui.modality import AUDIO, IMAGE
from ui.model_info import info_of
from ui.results import load_results
from ui.tab import Tab
from ui.votes import VoteStore

TABS = ("image", "audio", "batch", "how-it-works", "results")


class _Named(FakeCaptioner):
    """The fake captioner, with the names of the embedded model's columns."""

    @cached_property
    def bundle(self) -> Bundle:
        return load_bundle(EMBEDDED_BUNDLE)


class _NamedAudio(FakeAudioCaptioner):
    @cached_property
    def bundle(self) -> Bundle:
        return load_bundle(EMBEDDED_AUDIO_BUNDLE)


def whole_page(folder: Path, clip: Path) -> tuple[list[Tab], dict[str, Any]]:
    """The tabs of fake captioners and ``build_page``'s options with everything else as it is; one example, whose title
    has a translation."""
    # The resampler and the languages take long to load.
    FakeAudioCaptioner().audio_view(clip)
    language_of("two sheep and a bicycle")
    Image.new("RGB", (90, 60), "teal").save(folder / "cat.png")
    alt = "A tabby cat that looks at the camera"
    entry = {"file": "cat.png", "title": "Cat", "alt": alt, "credit": "Us"}
    (folder / "examples.json").write_text(json.dumps([entry]))
    image, audio = (load_better(name, app.RESULTS / f"{name}.json") for name in ("image", "audio"))
    named, heard = _Named(), _NamedAudio()
    tabs = [
        Tab(IMAGE, named, load_examples(folder), info_of(named.bundle, app.RESULTS), better=image),
        Tab(AUDIO, heard, (), info_of(heard.bundle, app.RESULTS), better=audio),
    ]
    demos, results = load_demos(app.RESULTS / "markov"), load_results(app.RESULTS)
    return tabs, {"demos": demos, "results": results, "votes": VoteStore(folder / "votes.sqlite")}


def visit_tab(page: Page, tab: str, picture: Path, clip: Path) -> None:
    """Open a tab, use what it is for, and unfold what is folded away."""
    page.locator(f"[role=tab][data-tab-id={tab}]").first.click()
    if tab in ("image", "audio"):
        _compare(page, tab, clip)
        _unfold(page, tab)
    elif tab == "batch":
        _caption_files(page, picture, clip)
    else:
        expect(page.locator({"how-it-works": ".demo", "results": "#results-shown table"}[tab]).first).to_be_visible()


def _compare(page: Page, tab: str, clip: Path) -> None:
    if tab == "image":
        page.locator("#image-examples button").click()
    else:
        upload_sound(page, clip)
        page.click("#audio-compare")
    expect_state(page, "done")


def _unfold(page: Page, tab: str) -> None:
    page.locator(f"#{tab}-settings > button").click()
    page.locator(f"#{tab}-your-caption > button").click()
    page.locator(f"#{tab}-caption textarea").fill("two sheep")
    page.click(f"#{tab}-score")
    expect(page.locator(f"#{tab}-scored .scored")).to_have_count(4)
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")


def _caption_files(page: Page, picture: Path, clip: Path) -> None:
    page.set_input_files("#batch-files input[type=file]", [str(picture), str(clip)])
    expect(page.locator("#batch-files").get_by_text(clip.suffix, exact=False).first).to_be_visible()
    page.locator("#batch-settings > button").click()
    page.click("#batch-start")
    expect(page.locator("#batch-table tr[data-state=done]")).to_have_count(2)
    expect(page.locator("#batch-tools")).to_be_visible()
