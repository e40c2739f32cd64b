"""What a tab offers once its comparison is complete: slides."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ui.sessions import Finished, Sessions
from ui.slides import connect_slide_endpoint, slide_buttons


def build_after(sessions: Sessions, finished: gr.State, folder: str) -> None:
    """Build the components under the columns, inside the tab, and connect them; ``finished`` holds the comparison.

    Args:
        folder: where Gradio keeps uploads.
    """
    modality = sessions.modality.name
    with gr.Row(visible=False, elem_id=f"{modality}-after", elem_classes="after") as row:
        slide_buttons(sessions, finished, folder)

    def show(finished: Finished | None) -> Any:
        return gr.Row(visible=finished is not None)

    finished.change(show, finished, row, api_visibility="private", show_progress="hidden")


def connect_after_endpoints(sessions: Sessions, folder: str, fetch_urls: bool) -> None:
    """Add ``/slide_image`` or ``/slide_audio``; inside the page's ``gr.Blocks``."""
    connect_slide_endpoint(sessions, folder, fetch_urls)
