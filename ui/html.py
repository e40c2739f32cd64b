"""HTML pieces of the page."""

from __future__ import annotations

from typing import Any

import gradio as gr


def html(value: str, **kwargs: Any) -> gr.HTML:
    """HTML with none of Gradio's own text styles, and no script unless given one."""
    return gr.HTML(value, **{"apply_default_css": False, "js_on_load": None, **kwargs})
