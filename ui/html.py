"""HTML pieces of the page."""

from __future__ import annotations

import base64
from html import escape
from typing import Any

import gradio as gr

# Left and Right move the focus within a list of buttons, Home and End to its ends.
ARROWS_JS = """
element.addEventListener('keydown', (event) => {
  const buttons = [...(event.target.closest('ul')?.querySelectorAll('button:not(.play)') ?? [])];
  const place = buttons.indexOf(event.target);
  const next = {ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: buttons.length - 1}[event.key];
  if (place < 0 || next === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  buttons[(next + buttons.length) % buttons.length].focus();
});
"""


def html(value: str, **kwargs: Any) -> gr.HTML:
    """HTML with none of Gradio's own text styles, and no script unless given one."""
    return gr.HTML(value, **{"apply_default_css": False, "js_on_load": None, **kwargs})


def problem_html(message: str) -> str:
    """Why something could not be done, to stand out among the sentences of a status."""
    return f'<span class="problem">{escape(message)}</span>'


def webp_uri(picture: bytes) -> str:
    """A WEBP picture as a data URI: the page then needs no access to a folder to show it."""
    return "data:image/webp;base64," + base64.b64encode(picture).decode("ascii")
