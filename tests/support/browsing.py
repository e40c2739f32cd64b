"""Looking at the page in a headless Chromium: opening it, and finding and waiting for what is on it."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, FloatRect, Locator, Page, Playwright, Response, expect, sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
COLUMNS = ("hypothesis-0", "hypothesis-1", "hypothesis-2", "beam", "diverse-beam")
# In milliseconds: a busy machine is slow, not wrong.
PATIENCE = 60_000
# Where screenshots go; kept when the variable is set.
SCREENSHOTS = os.environ.get("LORA_MCL_SCREENSHOTS")

OpenPage = Callable[..., Page]

# Gradio's client closes its streams when its page is left, and reports what that breaks off as errors. What is said
# then is no error of the page; if it stays after all (a download), what comes later counts again.
LEAVING = """
let leaving = false;
addEventListener('beforeunload', () => { leaving = true; setTimeout(() => { leaving = false; }, 5000); });
addEventListener('unhandledrejection', (event) => { if (leaving) event.preventDefault(); });
const report = console.error;
console.error = (...words) => { if (!leaving) report(...words); };
"""


@contextmanager
def browsing() -> Iterator[Playwright]:
    """Playwright, with our patience."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        yield playwright


def start_browser(playwright: Playwright, chromium: str, *arguments: str) -> Browser:
    return playwright.chromium.launch(executable_path=chromium, args=[*ARGUMENTS, *arguments])


@contextmanager
def visiting(browser: Browser) -> Iterator[OpenPage]:
    """Open addresses; at the end no error but ``expected`` ones may be on the console, and no other host asked."""
    troubles: list[str] = []
    allowed: set[str] = set()
    pages: list[Page] = []

    def note_message(message) -> None:
        if message.type == "error":
            troubles.append(message.text)

    def note_request(request) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            troubles.append(f"asked for {request.url}")

    def note_response(response) -> None:
        if response.status >= 400:
            troubles.append(f"{response.status} for {response.url}: {response.text()[:500]}")

    def open_page(
        address: str, width: int = 1280, height: int = 860, expected: str | None = None, locale: str = "en-US"
    ) -> Page:
        allowed.update([expected] if expected else [])
        page = browser.new_page(viewport={"width": width, "height": height}, locale=locale)
        page.set_default_timeout(PATIENCE)
        page.add_init_script(LEAVING)
        pages.append(page)
        page.on("console", note_message)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", note_request)
        page.on("requestfinished", lambda request: note_response(request.response()))
        page.goto(address)
        expect(page.locator(".caption-column").first).to_be_visible()
        return page

    yield open_page
    for page in pages:
        page.close()
    unexpected = [trouble for trouble in troubles if not any(part in trouble for part in allowed)]
    assert not unexpected, unexpected


def start_over_event(page: Page, modality: str) -> int:
    """Index of the event that clears away what belonged to the medium before."""
    return page.evaluate(
        """(modality) => {
          const id = (name) => gradio_config.components.find((one) => one.props.elem_id === `${modality}-${name}`).id;
          const [media, compare] = [id('media'), id('compare')];
          const ofMedia = ([trigger, kind]) => trigger === media && kind === 'input';
          const startsOver = (one) => one.targets.some(ofMedia) && one.outputs.includes(compare);
          return gradio_config.dependencies.find(startsOver).id;
        }""",
        modality,
    )


def compare_event(page: Page, modality: str) -> int:
    """Index of the event that asks for a comparison."""
    return page.evaluate(
        """(modality) => {
          const compare = gradio_config.components.find((one) => one.props.elem_id === `${modality}-compare`).id;
          const presses = ([trigger, kind]) => trigger === compare && kind === 'click';
          return gradio_config.dependencies.find((one) => one.targets.some(presses)).id;
        }""",
        modality,
    )


@contextmanager
def starting_over(page: Page, modality: str) -> Iterator[None]:
    """Wait until the page has asked to clear away what belonged to the medium before the one that is chosen meanwhile.

    Other events may be answered meanwhile, such as those of the page's opening.
    """
    event = start_over_event(page, modality)

    def is_answer(response: Response) -> bool:
        return "/run/predict" in response.url and response.request.post_data_json["fn_index"] == event

    with page.expect_response(is_answer):
        yield


def upload_picture(page: Page, picture: Path) -> None:
    """Choose a file, and wait until the page has cleared away what belonged to the picture before."""
    with starting_over(page, "image"):
        page.set_input_files("#image-media input[type=file]", str(picture))
    expect(page.locator("#image-media img")).to_be_attached()


def upload_sound(page: Page, sound: Path) -> None:
    """Choose a file, and wait until the page has cleared away what was of the one before and looked at this one."""
    with starting_over(page, "audio"):
        page.set_input_files("#audio-media input[type=file]", str(sound))
    expect(page.locator("#audio-view").locator("img, .notice").first).to_be_visible()


def attributes(page: Page, selector: str, name: str) -> list[str]:
    """An attribute of each element that is shown, all read at the same moment.

    One after the other, an element that is taken away between two readings is waited for in vain.
    """
    shown = "(all, name) => all.filter((one) => one.checkVisibility()).map((one) => one.getAttribute(name))"
    return page.locator(selector).evaluate_all(shown, name)


def column(page: Page, id: str):
    """A column of the tab that is open."""
    return page.locator(f'[data-column="{id}"]:visible')


def column_boxes(page: Page, ids: tuple[str, ...] = COLUMNS) -> list[FloatRect]:
    """The boxes of these columns of the tab that is open, all read at the same moment."""
    shown = """(all) => all.filter((one) => one.checkVisibility()).map((one) => {
      const {x, y, width, height} = one.getBoundingClientRect();
      return [one.dataset.column, {x, y, width, height}];
    })"""
    found = dict(page.locator("[data-column]").evaluate_all(shown))
    return [found[id] for id in ids]


def captions(page: Page, id: str) -> list[str]:
    return column(page, id).locator(".caption").all_inner_texts()


def expect_state(page: Page, state: str) -> None:
    for id in COLUMNS:
        expect(column(page, id)).to_have_attribute("data-state", state)


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def expect_settled(page: Page) -> None:
    """Wait until everything has faded to its new colours, borders and places: Gradio's buttons take 0.2 s to."""
    page.evaluate(
        """async () => {
          await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
          const fades = document.getAnimations().filter((one) => one instanceof CSSTransition);
          await Promise.allSettled(fades.map((fade) => fade.finished));
        }"""
    )


def expect_no_sideways_scroll(page: Page) -> None:
    """Nothing is wider than the window, once the page is laid out for it."""
    page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")


def set_number(page: Page, selector: str, value: float) -> None:
    """Type a slider's value: again, where the page was still being drawn and put the old one back."""
    number, slider = (page.locator(f"{selector} input[type={kind}]") for kind in ("number", "range"))
    wanted = f"{value:g}"

    def kept() -> bool:
        number.fill(wanted)
        number.press("Tab")
        page.wait_for_timeout(100)
        return number.input_value() == slider.input_value() == wanted

    wait_until(kept)


def set_ticked(boxes: Locator, ticked: bool) -> None:
    """Tick all the boxes, or none: again, where the page was still being drawn and put their old state back."""

    expect(boxes.first).to_be_visible()

    def kept() -> bool:
        for box in boxes.all():
            if box.is_checked() != ticked:
                box.click()
        boxes.page.wait_for_timeout(100)
        return all(box.is_checked() == ticked for box in boxes.all())

    wait_until(kept)


def screenshot(page: Page, name: str, tmp_path: Path) -> None:
    folder = Path(SCREENSHOTS) if SCREENSHOTS else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.png"
    page.screenshot(path=file, full_page=True)
    assert file.stat().st_size > 10_000


def unnamed(page: Page) -> list[str]:
    """The HTML of the visible buttons, inputs and images that have no name for a screen reader."""
    return page.evaluate(
        """() => [...document.querySelectorAll('button, input, img')]
        .filter((e) => e.offsetParent && !(e.innerText || e.alt || e.title || e.getAttribute('aria-label')
          || (e.labels && e.labels.length)))
        .map((e) => e.outerHTML.slice(0, 200))"""
    )


def expect_columns_within(page: Page, width: int) -> list[FloatRect]:
    """The columns' boxes; nothing is wider than a page of this width."""
    expect_no_sideways_scroll(page)
    boxes = column_boxes(page)
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    return boxes


def shown_width(page: Page) -> int:
    """Width of the picture as the browser decodes it; 0 for what it cannot."""
    return page.evaluate("document.querySelector('#image-media .image-frame img')?.naturalWidth ?? 0")


def shown_pixel(page: Page, x: int, y: int) -> list[int]:
    """Red, green and blue of a pixel of the picture as the browser decodes it."""
    return page.evaluate(
        """([x, y]) => {
          const image = document.querySelector('#image-media .image-frame img');
          const canvas = document.createElement('canvas');
          [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
          const context = canvas.getContext('2d');
          context.drawImage(image, 0, 0);
          return [...context.getImageData(x, y, 1, 1).data].slice(0, 3);
        }""",
        [x, y],
    )
