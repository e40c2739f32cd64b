"""HTML pieces of the page."""

from __future__ import annotations

import base64
from typing import Any

import gradio as gr


def html(value: str, **kwargs: Any) -> gr.HTML:
    """HTML with none of Gradio's own text styles, and no script unless given one."""
    return gr.HTML(value, **{"apply_default_css": False, "js_on_load": None, **kwargs})


def webp_uri(picture: bytes) -> str:
    """A WEBP picture as a data URI: the page then needs no access to a folder to show it."""
    return "data:image/webp;base64," + base64.b64encode(picture).decode("ascii")
