"""What is on the page when it is opened, in every language: Gradio's frontend writes it in the browser's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components.base import Component
from gradio.i18n import I18nData

from ui.texts.texts import ENGLISH, FRENCH, Texts, texts_for

_MARK = "__i18n__"
# A label of Gradio's file component that its own tables lack.
_GRADIO_ENGLISH = {"common.upload": "Upload files"}
_GRADIO_FRENCH = {"common.upload": "Téléverser des fichiers"}


class InBrowser(I18nData):
    """A label or another short text of a component that Gradio's frontend writes in the visitor's language.

    Not for components of a public endpoint, whose labels are documented in English.
    """

    def __init__(self, text: str) -> None:
        """``text`` is in English, which is also the key of its translation."""
        super().__init__(str(text))
        self.french = FRENCH(text)


def documented(part: Component) -> Component:
    """A hidden copy of a component for a public endpoint, whose labels are documented in English."""
    arguments = {
        name: value.key if isinstance(value, InBrowser) else value for name, value in part.constructor_args.items()
    }
    return type(part)(**arguments | {"visible": False, "elem_id": None})


class StaticHtml(gr.HTML):
    """HTML of the opened page, which Gradio's frontend writes in the visitor's language."""

    # For the frontend this is the component it derives from.
    is_template = True

    def __init__(self, write: Callable[[Texts], str], **kwargs: Any) -> None:
        """``write`` writes the HTML in a language."""
        # By the first closing brace the frontend finds the end of its mark.
        english = write(ENGLISH).replace("}", "&#125;")
        self.in_french = {english: write(FRENCH)}
        value = str(I18nData(english)) if english else ""
        super().__init__(value, **{"apply_default_css": False, "js_on_load": None, **kwargs})


def translate_when_opened(page: gr.Blocks, written: Mapping[gr.blocks.Block, Callable[[Texts], Any]]) -> None:
    """Write what Gradio's frontend leaves, such as the names of choices, when a page is opened that is not English.

    Args:
        written: of each component, its update in a language.
    """

    def write(request: gr.Request) -> dict[Any, Any]:
        texts = texts_for(request)
        return {part: gr.skip() if texts is ENGLISH else update(texts) for part, update in written.items()}

    page.load(write, None, list(written), queue=False, api_visibility="private", show_progress="hidden")


def choices_in(choices: Sequence[tuple[str, str]]) -> Callable[[Texts], Any]:
    """The update of a component whose choices have these names and values."""
    return lambda texts: gr.update(choices=[(texts(name), value) for name, value in choices])


def translations(page: gr.Blocks) -> gr.I18n:
    """What Gradio's frontend translates, by the English text: short texts of the page's components and static HTML."""
    french = dict(_GRADIO_FRENCH)
    for part in list(page.blocks.values()):
        shown = part.get_config().values()
        french |= {value.key: value.french for value in shown if isinstance(value, InBrowser)}
        # Buttons keep their text as Gradio's mark of it.
        marked = [marked_key(value) for value in shown if isinstance(value, str)]
        french |= {key: FRENCH(key) for key in marked if key is not None}
        if isinstance(part, StaticHtml):
            french |= part.in_french
    return gr.I18n(en=_GRADIO_ENGLISH, fr={one: other for one, other in french.items() if one != other})


def marked_key(value: str) -> str | None:
    """The key in Gradio's mark of a text that its frontend translates; None where there is no mark."""
    return json.loads(value.removeprefix(_MARK))["key"] if value.startswith(_MARK) else None
