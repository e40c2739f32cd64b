"""What is on the page when it is opened, in every language: Gradio's frontend writes it in the browser's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from ui.texts.texts import ENGLISH, FRENCH, Texts, texts_for

# A label of Gradio's file component that its own tables lack.
_GRADIO_ENGLISH = {"common.upload": "Upload files"}
_GRADIO_FRENCH = {"common.upload": "Téléverser des fichiers"}

# Properties of components that Gradio's frontend translates.
_TRANSLATED = ("label", "info", "placeholder", "value")


class StaticHtml(gr.HTML):
    """HTML of the opened page, with its French version.

    Gradio's frontend looks up the first value, label, info and placeholder of every component among the translations
    that it is given, by the English text.
    """

    # For the frontend this is the component it derives from.
    is_template = True

    def __init__(self, write: Callable[[Texts], str], **kwargs: Any) -> None:
        """``write`` writes the HTML in a language."""
        english = write(ENGLISH)
        super().__init__(english, **{"apply_default_css": False, "js_on_load": None, **kwargs})
        self.in_french = {english: write(FRENCH)}


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
    """What Gradio's frontend translates: labels and other short texts of the page's components, and its static HTML."""
    french = dict(_GRADIO_FRENCH)
    for part in list(page.blocks.values()):
        if isinstance(part, StaticHtml):
            french |= {one: other for one, other in part.in_french.items() if one != other}
        else:
            shown = [
                value for name, value in part.get_config().items() if name in _TRANSLATED and isinstance(value, str)
            ]
            french |= {str(value): FRENCH(value) for value in shown if FRENCH(value) != value}
    return gr.I18n(en=_GRADIO_ENGLISH, fr=french)
