"""The page's two languages: which one a visitor gets, that both are complete, and the French page in a browser."""

import ast
import json
import re
import shutil
import urllib.request
from pathlib import Path
from string import Formatter
from types import SimpleNamespace

import gradio as gr
import pytest
from playwright.sync_api import Page, expect

from lora_mcl.cli.outputs import _CSV_FIELDS
from lora_mcl.report.tables import FIELDS
from tests.support.browsing import expect_no_sideways_scroll, screenshot
from tests.support.gradio_warnings import GRADIO_WARNINGS
from tests.support.paths import ROOT
from tests.support.texts_of_code import CODE, calls_of, calls_of_the_report
from tests.support.tour import TABS, visit_tab, whole_page
from ui.page import build_page
from ui.slides import KINDS
from ui.texts.static import InBrowser, StaticHtml, marked_key, translations
from ui.texts.texts import ENGLISH, FRENCH, texts_for

pytestmark = GRADIO_WARNINGS


def request(query="", accept="", cookie=""):
    headers = {"accept-language": accept} | ({"cookie": cookie} if cookie else {})
    return SimpleNamespace(query_params={"lang": query} if query else {}, headers=headers)


@pytest.mark.parametrize(
    ("query", "accept", "language"),
    [
        ("", "", "en"),
        ("", "fr", "fr"),
        ("", "fr-CA,fr;q=0.9,en;q=0.8", "fr"),
        ("", "en;q=0.5,fr;q=0.9", "fr"),
        ("", "de-DE,de;q=0.9", "en"),
        ("", "de,fr;q=0.7,en;q=0.3", "fr"),
        ("", "fr;q=0", "en"),
        ("", "fr;q=high,;;q,en", "en"),
        ("fr", "en", "fr"),
        ("en", "fr", "en"),
        ("xx", "fr", "fr"),
    ],
)
def test_the_address_goes_before_the_browser(query, accept, language):
    assert texts_for(request(query, accept)).language == language


@pytest.mark.parametrize(
    ("query", "cookie", "language"),
    [
        ("", "studio-lang=fr", "fr"),
        ("en", "studio-lang=fr", "en"),
        ("", "a=1; studio-lang=fr; b", "fr"),
        ("", "studio-lang=xx", "en"),
        ("", "other=fr", "en"),
        ("", ";=;\x00 studio-lang", "en"),
    ],
)
def test_what_was_chosen_goes_before_the_browser(query, cookie, language):
    assert texts_for(request(query, "en", cookie)).language == language


def test_without_a_request_the_language_is_english():
    assert texts_for(None) is ENGLISH


def names_in_assets() -> set[str]:
    """What bundles and examples name and describe."""
    assets = ROOT / "assets"
    names = set()
    for file in assets.glob("bundles/*/bundle.json"):
        for one in json.loads(file.read_text(encoding="utf-8"))["hypotheses"]:
            names |= {one["label"], one["description"]}
    for file in assets.glob("examples/*/examples.json"):
        for one in json.loads(file.read_text(encoding="utf-8")):
            names |= {one["title"], one["alt"]}
    return names


def test_every_text_of_the_code_has_a_translation():
    written = calls_of(("texts", "Phrase", "InBrowser", "texts_for(request)", "self.texts", "self._texts"))
    written |= calls_of_the_report() | dict.fromkeys((*FIELDS, *_CSV_FIELDS), "a table's header")
    assert len(written) > 180 and len(calls_of_the_report()) > 12
    missing = [f"{place}: {text}" for text, place in written.items() if text not in FRENCH.translations]
    assert not missing, "\n".join(missing)


def test_every_name_of_the_models_and_examples_has_a_translation():
    names = names_in_assets()
    assert len(names) > 20 and names <= set(FRENCH.translations), names - set(FRENCH.translations)


def test_no_translation_is_of_a_text_that_is_gone():
    constants = {
        node.value
        for file in CODE
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    # Of formatted labels only the parts are constants.
    named = {f"Slide ({kind.upper()})" for kind in KINDS} | {f"{name}{_BASE}" for name in SEARCHES}
    gone = set(FRENCH.translations) - constants - names_in_assets() - named - set(calls_of_the_report())
    assert not gone, sorted(gone)


_BASE = " (base)"
SEARCHES = ("Beam search", "Diverse beam search", "Sampling")


@pytest.mark.parametrize("english", FRENCH.translations)
def test_a_translation_has_the_same_fields_and_tags_and_french_spaces(english):
    french = FRENCH.translations[english]
    fields = [sorted(filter(None, (name for _, name, *_ in Formatter().parse(text)))) for text in (english, french)]
    tags = [sorted(re.findall(r"</?\w+>", text)) for text in (english, french)]
    assert fields[0] == fields[1] and tags[0] == tags[1]
    assert not re.search(r" [:;!?%»]|« |\w'\w|\.\.\.", french), french
    assert french.strip() or not english.strip()


def test_every_static_text_of_the_page_has_a_translation(clip, tmp_path):
    tabs, options = whole_page(tmp_path, clip)
    page = build_page(tabs, **options)
    known = translations(page).translations_dict["fr"]
    assert not any("base64," in french for french in known.values()), "no picture is sent twice"
    parts = [part for part in page.blocks.values() if part.visible is not False or part.elem_id]
    shown = [
        part.get_config().get(name)
        for part in parts
        for name in ("label", "info", "placeholder", *(("value",) if isinstance(part, gr.HTML | gr.Button) else ()))
    ]
    plain = [
        value
        for value in shown
        if isinstance(value, str) and marked_key(value) is None and re.search(r"[a-z]{2}", visible(value))
    ]
    assert not plain, plain
    keys = [value.key for value in shown if isinstance(value, InBrowser)]
    keys += [key for value in shown if isinstance(value, str) and (key := marked_key(value))]
    assert len(keys) > 60
    missing = [
        key
        for key in keys
        if key not in known and key not in FRENCH.translations and re.search(r"[a-z]{2}", visible(key))
    ]
    assert not missing, missing
    choices = [choice[0] for part in parts for choice in part.get_config().get("choices") or ()]
    assert len(choices) > 20 and set(choices) <= set(FRENCH.translations)


def visible(html: str) -> str:
    """The text of HTML."""
    return re.sub(r"<[^>]*>", "", html)


@pytest.fixture(scope="module")
def address(serve, clip, tmp_path_factory):
    tabs, options = whole_page(tmp_path_factory.mktemp("examples"), clip)
    return serve(*tabs, **options)


# Every text that the page shows or that a screen reader says, but captions, file names, code and what is marked as
# being in another language.
SAID = """() => {
  const skipped = '.caption, .tokens .token:not(.end), .name, code, script, style, [lang=en], textarea, .file-name, '
    + '.language-switch, [data-testid=block-label] ~ *[title]';
  const said = [];
  const seen = (element) => element.getClientRects().length || element.closest('.sr-only');
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (node.data.trim() && !element.closest(skipped) && seen(element)) said.push(node.data.trim());
  }
  for (const element of document.querySelectorAll('body *'))
    if (!element.closest(skipped) && seen(element))
      for (const name of ['aria-label', 'title', 'placeholder', 'alt'])
        if (element.getAttribute(name)) said.push(element.getAttribute(name).trim());
  return [...new Set(said)];
}"""


def patterns_of_english() -> list[re.Pattern[str]]:
    """What each English text of the table looks like on the page, with any values in its fields; only those that differ
    from their French."""
    found = []
    for english, french in FRENCH.translations.items():
        text, other = visible(english).strip(), visible(french).strip()
        literal = "".join(part for part, *_ in Formatter().parse(text))
        if text == other or len(re.findall(r"[A-Za-z]", literal)) < 3:
            continue
        parts = [re.escape(part) + (".+?" if name is not None else "") for part, name, *_ in Formatter().parse(text)]
        found.append(re.compile("".join(parts).strip(), re.DOTALL))
    return found


# Words of English sentences that are no French ones.
ENGLISH_WORDS = re.compile(
    r"\b(the|of|and|with|is|are|was|to|in|it|its|this|that|for|from|by|each|how|what|which|your|you|not|no|one|two|"
    r"click|drop|upload|search|words?|captions?|pictures?|sounds?|files?|best|mean|worst|step|training|here)\b",
    re.IGNORECASE,
)
# Names that Gradio's own components have in English only: its frontend holds no translations of them.
GRADIOS = re.compile(
    r"File|File upload|Remove this file|Upload file|Click to upload or drop files|Capture from camera|"
    r"Paste from clipboard|microphone|"
    r"Reset to default value|(number input|range slider) for .+|Adjust playback speed to .+|"
    r"Skip (backwards|forward) by .+ seconds"
)


def english_on(page: Page) -> list[str]:
    """What an open French page says in English."""
    said = page.evaluate(SAID)
    assert len(said) > 30
    french = {visible(text).strip() for text in FRENCH.translations.values()}
    patterns = patterns_of_english()
    assert len(patterns) > 250
    own = [text for text in said if not GRADIOS.fullmatch(text)]
    return [
        *(text for text in own if ENGLISH_WORDS.search(text)),
        *(
            f"{text!r} is {pattern.pattern!r}"
            for text in own
            for pattern in patterns
            if text not in french and pattern.fullmatch(text)
        ),
    ]


@pytest.mark.browser
@pytest.mark.parametrize("tab", TABS)
def test_the_french_page_is_french(visit, address, picture, clip, tmp_path, tab):
    page = visit(address, locale="fr-FR")
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    # Files without English names.
    files = [Path(shutil.copy(file, tmp_path / f"x{file.suffix}")) for file in (picture, clip)]
    visit_tab(page, tab, *files)
    # The server writes the names of choices a moment after the page is open.
    for _ in range(40):
        if not (english := english_on(page)):
            break
        page.wait_for_timeout(250)
    screenshot(page, f"french-{tab}", tmp_path)
    page.set_viewport_size({"width": 390, "height": 860})
    expect_no_sideways_scroll(page)
    screenshot(page, f"french-{tab}-phone", tmp_path)
    assert not english, "\n".join(english)


@pytest.mark.browser
def test_the_switch_changes_the_language_and_keeps_the_comparison(visit, address):
    page = visit(f"{address}?__theme=dark", locale="en-GB")
    expect(page.locator("h1")).to_have_text("One model, three ways of answering")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    # What the server writes later is in the language of the address too, and what was compared is compared again.
    page.locator("#image-examples button").click()
    expect(page.locator("#image-link a")).to_be_visible()
    page.get_by_role("link", name="Français").click()
    expect(page.locator("h1")).to_have_text("Un modèle, trois façons de répondre")
    assert "lang=fr" in page.url and "__theme=dark" in page.url
    expect(page.locator("#image-status")).to_contain_text(re.compile("Terminé en|Affichées aussitôt"))
    page.get_by_role("link", name="English").click()
    expect(page.locator("h1")).to_have_text("One model, three ways of answering")


@pytest.mark.browser
@pytest.mark.parametrize(("tab", "width"), [("batch", 1280), ("results", 1280), ("results", 320)])
def test_the_switch_keeps_the_tab_and_the_choice_is_remembered(visit, address, tab, width):
    page = visit(address, locale="en-GB", width=width)
    page.goto(f"{address}#{tab}")
    shown = page.locator(f"[role=tab][data-tab-id={tab}][aria-selected=true]")
    expect(shown).to_be_visible()
    page.get_by_role("link", name="Français").click()
    expect(page.locator("h1")).to_have_text("Un modèle, trois façons de répondre")
    expect(shown).to_be_visible()
    page.goto(address)
    expect(page.locator("h1")).to_have_text("Un modèle, trois façons de répondre")
    page.get_by_role("link", name="English").click()
    expect(page.locator("h1")).to_have_text("One model, three ways of answering")
    page.goto(address)
    expect(page.locator("h1")).to_have_text("One model, three ways of answering")


@pytest.mark.browser
def test_what_is_downloaded_from_the_french_page_is_french(visit, address, picture, clip, tmp_path):
    page = visit(f"{address}?lang=fr")
    visit_tab(page, "batch", picture, clip)
    found = {}
    for name in ("csv", "json", "report"):
        with page.expect_download() as download:
            page.click(f"#batch-{name}")
        found[name] = tmp_path / download.value.suggested_filename
        download.value.save_as(found[name])
    assert found["csv"].read_text(encoding="utf-8-sig").startswith("fichier,modèle,colonne,")
    assert '<html lang="fr">' in found["report"].read_text(encoding="utf-8")
    first = json.loads(found["json"].read_text(encoding="utf-8"))["files"][0]
    assert {"file", "model", "columns", "settings"} <= set(first)
    page.goto(f"{address}?lang=fr")
    visit_tab(page, "image", picture, clip)
    with page.expect_download() as download:
        page.click("#image-slide-svg")
    download.value.save_as(tmp_path / "slide.svg")
    assert "Recherche en faisceau" in (tmp_path / "slide.svg").read_text(encoding="utf-8")


def test_the_api_is_english(address):
    with urllib.request.urlopen(f"{address}gradio_api/info?lang=fr", timeout=60) as answer:
        endpoints = json.load(answer)["named_endpoints"]
    labels = [one["label"] for one in endpoints["/compare_image"]["parameters"]]
    assert "Beams" in labels and "Diversity penalty" in labels


def test_a_brace_in_static_html_does_not_end_gradios_mark():
    part = StaticHtml(lambda texts: f"<p>{texts('Captions')} {{a}}</p>")
    assert part.in_french == {"<p>Captions {a&#125;</p>": "<p>Légendes {a}</p>"}
    assert marked_key(part.value) == "<p>Captions {a&#125;</p>" and part.value.index("}") > part.value.index("&#125;")
