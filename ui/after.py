"""Actions of a tab after its comparison: slides, a link, the blind vote."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import gradio as gr

from ui.examples import PageExample
from ui.html import html
from ui.links import COPY_JS, link_html, no_link_html, query_of
from ui.models import captioner_of
from ui.sessions import Finished, Sessions
from ui.slides import connect_slide_endpoint, slide_buttons
from ui.texts.texts import texts_for
from ui.vote_panel import connect_vote_endpoints, vote_panel
from ui.votes import VoteStore, content_hash


def build_after(
    sessions: Sessions,
    examples: Sequence[PageExample],
    finished: gr.State,
    folder: str,
    blind: gr.Checkbox | None,
    votes: VoteStore | None,
) -> None:
    """Build the components under the columns, inside the tab, and connect them; ``finished`` holds the comparison.

    Args:
        blind: the switch of blind votes, where ``votes`` are kept.
        folder: where Gradio keeps uploads.
    """
    modality = sessions.modality.name
    with gr.Row(visible=False, elem_id=f"{modality}-after", elem_classes="after") as row:
        slide_buttons(sessions, finished, folder)
        link = html("", js_on_load=COPY_JS, elem_id=f"{modality}-link")

    @cache
    def hashes() -> dict[str, PageExample]:
        return {content_hash(example.file): example for example in examples}

    def show(finished: Finished | None, request: gr.Request) -> tuple[Any, str]:
        if finished is None:
            return gr.Row(visible=False), ""
        try:
            example = hashes().get(content_hash(finished.media))
        except OSError:  # the upload no longer exists
            example = None
        texts = texts_for(request)
        if finished.redone:
            return gr.Row(visible=True), no_link_html(texts)
        captioner = captioner_of(sessions.captioner, finished.options)
        window = finished.comparison.window
        query = query_of(modality, captioner.name, finished.options, captioner.defaults, example, window)
        return gr.Row(visible=True), link_html(query, example, sessions.modality.noun, texts)

    finished.change(show, finished, [row, link], api_visibility="private", show_progress="hidden")
    if votes is not None and blind is not None:
        vote_panel(sessions, finished, blind, votes)


def connect_after_endpoints(sessions: Sessions, folder: str, fetch_urls: bool, votes: VoteStore | None) -> None:
    """Add ``/slide_...`` and, where votes are kept, ``/votes_...``; inside the page's ``gr.Blocks``."""
    connect_slide_endpoint(sessions, folder, fetch_urls)
    if votes is not None:
        connect_vote_endpoints(sessions, votes, folder)
