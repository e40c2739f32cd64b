"""The "Results" tab: measured results from committed files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from ui.html import html
from ui.results import ResultSet
from ui.results_view import results_html


def build_results_tab(found: Sequence[ResultSet]) -> None:
    """Lay the tab out and wire it; to be called inside its tab, with at least one set."""
    by_name = {one.name: one for one in found}
    choice = gr.Radio(
        [(one.title, one.name) for one in found], value=found[0].name, label="Measured on", elem_id="results-choice"
    )
    shown = html(results_html(found[0]), elem_id="results-shown")

    def results(name: Any) -> str:
        """Measured quality, diversity and specialisation, as HTML.

        Args:
            name: image, audio or translations, as far as their results are there.
        """
        if not isinstance(name, str) or name not in by_name:
            raise gr.Error(f"name must be one of {', '.join(by_name)}.", print_exception=False)
        return results_html(by_name[name])

    choice.change(
        results, choice, shown, queue=False, preprocess=False, show_progress="hidden", api_visibility="private"
    )
