"""Fonts and colours of Gradio's own widgets; the rest is in ``style.css``. Nothing is fetched."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

STYLE = Path(__file__).with_name("style.css")

_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Liberation Sans", "sans-serif")
_MONO = ("ui-monospace", "SF Mono", "Cascadia Mono", "Liberation Mono", "monospace")


def page_theme() -> gr.themes.Base:
    """Ink on warm paper, and its night version; colour is left to the columns."""
    return gr.themes.Base(primary_hue="stone", neutral_hue="stone", font=_SANS, font_mono=_MONO, radius_size="sm").set(
        body_background_fill="#faf9f6",
        body_background_fill_dark="#151412",
        body_text_color="#1f1d1a",
        body_text_color_dark="#ece8e1",
        body_text_color_subdued="#66605a",
        body_text_color_subdued_dark="#a8a199",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#1e1c1a",
        block_background_fill="#ffffff",
        block_background_fill_dark="#1e1c1a",
        block_border_color="#e2ddd5",
        block_border_color_dark="#38342f",
        block_label_background_fill="#ffffff",
        block_label_background_fill_dark="#1e1c1a",
        block_label_text_color="#66605a",
        block_label_text_color_dark="#a8a199",
        block_info_text_color="#66605a",
        block_info_text_color_dark="#a8a199",
        block_shadow="none",
        button_primary_background_fill="#1f1d1a",
        button_primary_background_fill_hover="#3a3631",
        button_primary_background_fill_dark="#ece8e1",
        button_primary_background_fill_hover_dark="#ffffff",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#151412",
        checkbox_border_color="#8a837b",
        checkbox_border_color_dark="#8a837b",
        checkbox_border_color_hover="#66605a",
        checkbox_border_color_hover_dark="#a8a199",
        link_text_color="#66605a",
        link_text_color_dark="#a8a199",
        link_text_color_hover="#1f1d1a",
        link_text_color_hover_dark="#ece8e1",
        link_text_color_active="#1f1d1a",
        link_text_color_active_dark="#ece8e1",
        link_text_color_visited="#66605a",
        link_text_color_visited_dark="#a8a199",
        slider_color="#1f1d1a",
        slider_color_dark="#ece8e1",
    )
