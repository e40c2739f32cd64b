"""Links that restore the settings, the model and, for examples, the comparison. Their content is untrusted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from lora_mcl.errors import OptionsError
from lora_mcl.phrases import Phrase
from lora_mcl.types import CompareOptions, Window
from ui.examples import PageExample
from ui.models import models_of
from ui.settings import SETTINGS, options_for
from ui.texts.texts import ENGLISH, Texts

if TYPE_CHECKING:
    from ui.tab import Tab

_LONGEST = 2_000

COPY_JS = """
element.addEventListener('click', async ({target}) => {
  const button = target.closest('button');
  if (!button) return;
  const link = element.querySelector('a'), note = element.querySelector('[role=status]');
  try {
    await navigator.clipboard.writeText(link.href);
    note.textContent = note.dataset.copied;
  } catch {
    note.textContent = note.dataset.failed;
  }
});
"""


@dataclass(frozen=True)
class Link:
    """Contents of a link.

    Attributes:
        tab: the tab, by its place.
        options: its settings.
        example: the example, by its place; None where the link has none.
        notice: a sentence where the page differs from that of the link; may be empty.
        start: of a sound, the second where the model's input begins; None for its first sound.
    """

    tab: int
    options: CompareOptions
    example: int | None = None
    notice: str = ""
    start: float | None = None


def query_of(
    modality: str,
    model: str,
    options: CompareOptions,
    defaults: CompareOptions,
    example: PageExample | None,
    window: Window | None = None,
) -> str:
    """The query of a link: the model, the settings that are not the model's own, and the example.

    Args:
        window: of a sound, the part that the model got; its start is in the link if that is not all of it.
    """
    changed = {
        setting.name: f"{getattr(options, setting.name):g}"
        for setting in SETTINGS
        if getattr(options, setting.name) != getattr(defaults, setting.name)
    }
    if options.columns:
        changed["columns"] = ",".join(options.columns)
    named = {"example": example.file.stem} if example else {}
    if example and window and window.cut:
        named["start"] = f"{window.start:.1f}"
    return urlencode({"tab": modality, "model": model, **named, **changed})


def read_link(query: str, tabs: Sequence[Tab]) -> Link | None:
    """The link in an address's query; None if it holds none.

    Raises:
        OptionsError: it asks for what is not here.
    """
    # Python's own bound is of the number of fields; other names are Gradio's.
    given = dict(parse_qsl(query.removeprefix("?")[:_LONGEST], keep_blank_values=True))
    if "tab" not in given:
        return None
    names = [tab.modality.name for tab in tabs]
    if given["tab"] not in names:
        raise OptionsError(Phrase("This link is for a tab that is not here: {tab!r}.", tab=given["tab"][:40]))
    place = names.index(given["tab"])
    tab = tabs[place]
    return Link(place, _options(given, tab), _example(given, tab), _notice(given, tab), _start(given))


def _options(given: Mapping[str, str], tab: Tab) -> CompareOptions:
    model = next((one for one in models_of(tab.captioner) if one.name == given.get("model")), None)
    defaults = (model or tab.captioner).defaults
    values: dict[str, Any] = {setting.name: getattr(defaults, setting.name) for setting in SETTINGS}
    if "num_beams" in given:
        values["num_beam_groups"] = None  # fitted to the beams
    asked = {setting.name: _number(given[setting.name]) for setting in SETTINGS if setting.name in given}
    columns = given["columns"].split(",") if "columns" in given else None
    chosen = {"columns": columns, "model": model.name if model else None}
    return options_for({**values, **asked, **chosen}, tab.captioner)


def _number(text: str) -> int | float | str:
    """The number that the text is, or the text, for a message that shows it."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _example(given: Mapping[str, str], tab: Tab) -> int | None:
    if "example" not in given:
        return None
    stems = [example.file.stem for example in tab.examples]
    if given["example"] not in stems:
        example = given["example"][:40]
        raise OptionsError(Phrase("There is no example {example!r} here any more: choose another.", example=example))
    return stems.index(given["example"])


def _start(given: Mapping[str, str]) -> float | None:
    if "start" not in given:
        return None
    start = _number(given["start"])
    if isinstance(start, str) or not 0 <= start < math.inf:
        raise OptionsError(Phrase("start must be a second of the sound, not {start!r}.", start=given["start"][:40]))
    return start


def _notice(given: Mapping[str, str], tab: Tab) -> str:
    names = [captioner.name for captioner in models_of(tab.captioner)]
    model = given.get("model", names[0])
    if model in names:
        return ""
    return Phrase("This link was made with the model {model}; this page runs {here}.", model=model[:60], here=names[0])


def link_html(query: str, example: PageExample | None, noun: str, texts: Texts = ENGLISH) -> str:
    """The link with a button that copies it."""
    link = (
        texts("Link to this comparison")
        if example
        else texts("Link to these settings (your {noun} is not in it)", noun=texts(noun))
    )
    messages = f'data-copied="{texts("Copied.")}" data-failed="{texts("Copy the link by its menu.")}"'
    return (
        f'<p class="link"><a href="?{escape(query)}">{link}</a> <button type="button">{texts("Copy link")}</button> '
        f'<span role="status" {messages}></span></p>'
    )


def no_link_html(texts: Texts = ENGLISH) -> str:
    """In place of a link where one column was written with other settings than the rest."""
    return f'<p class="link">{texts("Columns written with different settings have no link.")}</p>'
