"""The "Results" tab: measured results from committed files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from ui.results import ResultSet
from ui.results_view import results_html
from ui.texts.static import InBrowser, StaticHtml, choices_in, translate_when_opened
from ui.texts.texts import texts_for


def build_results_tab(page: gr.Blocks, found: Sequence[ResultSet]) -> None:
    """Lay the tab out and wire it; to be called inside its tab, with at least one set."""
    by_name = {one.name: one for one in found}
    choices = [(one.title, one.name) for one in found]
    choice = gr.Radio(choices, value=found[0].name, label=InBrowser("Measured on"), elem_id="results-choice")
    translate_when_opened(page, {choice: choices_in(choices)})
    shown = StaticHtml(lambda texts: results_html(found[0], texts), elem_id="results-shown")

    def results(name: Any, request: gr.Request) -> str:
        """Measured quality, diversity and specialisation, as HTML.

        Args:
            name: image, audio or translations, as far as their results are there.
        """
        if not isinstance(name, str) or name not in by_name:
            raise gr.Error(f"name must be one of {', '.join(by_name)}.", print_exception=False)
        return results_html(by_name[name], texts_for(request))

    choice.change(
        results, choice, shown, queue=False, preprocess=False, show_progress="hidden", api_visibility="private"
    )
