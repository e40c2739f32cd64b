"""The visitor's own comparisons of this visit, as a strip of thumbnails.

The strip is kept by the browser's page alone and ends with it. The server keeps an upload for as long as any other.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import gradio as gr

from lora_mcl.errors import LoraMclError
from lora_mcl.log_mel_picture import log_mel_webp
from lora_mcl.report.media import picture_uri
from ui.html import ARROWS_JS, html, webp_uri
from ui.models import NamedModelOptions
from ui.sessions import Finished, Sessions
from ui.settings import SETTINGS
from ui.texts.texts import ENGLISH, FRENCH, Texts
from ui.votes import content_hash

TITLE = "Compared on this visit"
LENGTH = 24
"""Most comparisons of the strip; older ones leave it."""

_THUMBNAIL = 160  # pixels, two for each of the page's

# Each value is one entry: a new one comes first, one that is there already is marked where it stands. With fewer than
# two there is nothing to go back to.
_STRIP_JS = (
    ARROWS_JS
    + f"""
const entries = [];
let focused = null;
element.addEventListener('focusin', ({{target}}) => {{ focused = target.closest('li'); }});
element.addEventListener('focusout', ({{relatedTarget}}) => {{ if (relatedTarget) focused = null; }});
watch('value', () => {{
  const parsed = document.createElement('template');
  parsed.innerHTML = props.value;
  const entry = parsed.content.querySelector('li');
  const list = element.querySelector('ul');
  if (!entry || !list) return;
  let shown = entries.find((other) => other.dataset.key === entry.dataset.key);
  if (!shown) {{
    shown = entry;
    entries.unshift(shown);
    entries.splice({LENGTH});
  }}
  for (const other of entries) other.querySelector('button').setAttribute('aria-current', other === shown);
  const last = focused;
  list.replaceChildren(...entries);
  element.querySelector('section').hidden = entries.length < 2;
  if (last && document.activeElement === document.body) last.querySelector('button').focus();
}});
element.addEventListener('click', ({{target}}) => {{
  const entry = target.closest('li');
  if (entry) trigger('click', {{entry: entry.dataset.entry}});
}});
"""
)
# Without the value, so that Gradio does not draw the strip anew.
_NAMES = {texts.language: texts(TITLE) for texts in (ENGLISH, FRENCH)}
_TITLE_JS = f"${{({_NAMES})[document.documentElement.lang] || '{TITLE}'}}"
_TEMPLATE = f'<section hidden aria-label="{_TITLE_JS}"><h2>{_TITLE_JS}</h2><ul class="history"></ul></section>'


def entry_html(finished: Finished, content: str, thumbnail: str, start: float | None, texts: Texts = ENGLISH) -> str:
    """One thumbnail; ``data-entry`` holds what a click restores, ``data-key`` is equal for equal comparisons.

    Args:
        content: hash of the medium, of which there may be copies.
        start: of a sound, in seconds.
    """
    options = {setting.name: getattr(finished.options, setting.name) for setting in SETTINGS}
    options["columns"] = list(finished.options.columns) or None
    if isinstance(finished.options, NamedModelOptions):
        options["model"] = finished.options.model
    key = json.dumps([content, start, options])
    entry = json.dumps({"media": str(finished.media), "start": start, **options})
    first = next((column.captions[0].text for column in finished.comparison.columns if column.captions), "")
    alt = escape(texts("Show {name} again", name=finished.comparison.media))
    return (
        f'<li data-key="{escape(key)}" data-entry="{escape(entry)}"><button type="button" title="{escape(first)}">'
        f'<img src="{thumbnail}" alt="{alt}"></button></li>'
    )


def history_entry(sessions: Sessions, finished: Finished, texts: Texts) -> str | None:
    """The thumbnail of a complete comparison; None if no settings restore it, or its upload is gone meanwhile."""
    if finished.redone:
        return None
    window = finished.comparison.window
    start = None if window is None else window.start
    try:
        thumbnail = _thumbnail(sessions, finished.media, start)
        return entry_html(finished, content_hash(finished.media), thumbnail, start, texts)
    except (LoraMclError, OSError):
        return None


def history_strip(modality: str) -> gr.HTML:
    """The strip, still hidden; its element id begins with the modality."""
    return html("", html_template=_TEMPLATE, js_on_load=_STRIP_JS, elem_id=f"{modality}-history")


def _thumbnail(sessions: Sessions, media: Path, start: float | None) -> str:
    if start is None:
        return picture_uri(media, _THUMBNAIL)
    return webp_uri(log_mel_webp(sessions.audio_view(media, start).log_mel, _THUMBNAIL))
