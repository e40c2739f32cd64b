"""The page's start from a link: its settings, its example and its comparison."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from lora_mcl.errors import LoraMclError
from ui.events import Components, session_of
from ui.links import read_link
from ui.tab import Tab
from ui.texts.texts import texts_for
from ui.votes import content_hash

_PRIVATE = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
# Opens the tab, and presses Compare there as soon as the tab is drawn.
_START_JS = """
(start) => {
  const [tab, compare] = start.split(' ');
  if (!tab) return [];
  for (const button of document.querySelectorAll(`.studio-tabs [role=tab][data-tab-id="${tab}"]`))
    if (button.getAttribute('aria-selected') !== 'true') button.click();
  const press = (left) => {
    const button = document.getElementById(compare);
    if (button) button.click();
    else if (left) setTimeout(press, 100, left - 1);
  };
  if (compare) press(100);
  return [];
}
"""


def connect_links(page: gr.Blocks, specs: Sequence[Tab], parts: Sequence[Components]) -> None:
    """Restore what the page's address asks for, when it is opened; inside the page's ``gr.Blocks``.

    Args:
        specs, parts: the captioning tabs, and their components, in the same order.
    """
    query, start = gr.Textbox(visible=False), gr.Textbox(visible=False)
    outputs = [start]
    for part in parts:
        outputs += [part.media, *part.switch.outputs(), *part.outputs()]
        outputs += [part.audio_controls.start, part.audio_controls.restored_start] if part.audio_controls else []

    def restore(query: str, request: gr.Request) -> dict[Any, Any]:
        texts = texts_for(request)
        try:
            link = read_link(query, specs)
        except LoraMclError as error:
            return {parts[0].status: escape(texts.error(error)), start: ""}
        if link is None:
            return {start: ""}
        spec, part = specs[link.tab], parts[link.tab]
        session = session_of(request)
        updates: dict[Any, Any] = {
            **part.switch.updates(session, link.options, texts),
            **(part.changes(part.switch.idle(session, texts), None) if part.switch.several else {}),
            start: spec.modality.name,
            part.status: escape(texts(link.notice)),
        }
        if link.example is not None:
            updates |= {
                part.media: str(spec.examples[link.example].file),
                start: f"{spec.modality.name} {spec.modality.name}-compare",
            }
            if link.start is not None and part.audio_controls:
                content = content_hash(spec.examples[link.example].file)
                updates |= part.audio_controls.restored(content, link.start)
        return updates

    page.load(restore, query, outputs, js="() => location.search", **_PRIVATE).then(
        None, start, None, js=_START_JS, **_PRIVATE
    )
