"""The visitor's own comparisons of this visit, as a strip of thumbnails that restore them.

The strip is kept by the browser's page alone and ends with it. The server keeps an upload for as long as any other.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any
from uuid import uuid4

import gradio as gr

from lora_mcl.errors import LoraMclError, OptionsError
from lora_mcl.log_mel_picture import log_mel_webp
from lora_mcl.phrases import Phrase
from lora_mcl.report.media import picture_uri
from ui.events import Components, session_of
from ui.html import ARROWS_JS, html, problem_html, webp_uri
from ui.models import NamedModelOptions
from ui.sessions import Finished, Sessions
from ui.settings import SETTINGS, options_for
from ui.texts.texts import ENGLISH, FRENCH, Texts, texts_for
from ui.uploads import uploaded_file
from ui.votes import content_hash

TITLE = "Compared on this visit"
LENGTH = 24
"""Most comparisons of the strip; older ones leave it."""

_PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
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


def connect_history(sessions: Sessions, components: Components, strip: gr.HTML) -> None:
    """Add finished comparisons to ``strip`` and restore those that are clicked; inside the tab."""
    controls = components.audio_controls

    def add(finished: Finished | None, request: gr.Request) -> Any:
        if finished is None or finished.redone:  # no settings restore all of its columns
            return gr.skip()
        window = finished.comparison.window
        start = None if window is None else window.start
        try:
            thumbnail = _thumbnail(sessions, finished.media, start)
            return entry_html(finished, content_hash(finished.media), thumbnail, start, texts_for(request))
        except (LoraMclError, OSError):  # the upload is gone meanwhile
            return gr.skip()

    def restore(chosen: tuple[int, str], event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        noun, texts = Phrase(sessions.modality.noun), texts_for(request)
        try:
            media, start, values = _read(event.entry, noun)
            options = options_for(values, sessions.captioner)
            with uploaded_file({"path": media}, sessions.modality, components.folder) as file:
                if not file.is_file():
                    raise OptionsError(Phrase("This {noun} is deleted from the server: choose it again.", noun=noun))
                audio_updates = controls.restored(content_hash(file), start or 0.0) if controls is not None else {}
        except LoraMclError as error:
            return {components.status: problem_html(texts.error(error))}
        session = session_of(request)
        sessions.abandon(session)
        return {
            **components.switch.updates(session, options, texts),
            **components.changes(sessions.idle(session, texts), None),
            **audio_updates,
            components.media: media,
            components.chosen: (chosen[0], uuid4().hex),
        }

    components.finished.change(add, components.finished, strip, **_PRIVATE)
    outputs = [components.media, components.chosen, *components.outputs(), *components.switch.outputs()]
    if controls is not None:
        outputs += [*controls.outputs(), controls.restored_start]
    # Through the queue: only there does a change of state set off events.
    strip.click(restore, components.chosen, outputs, **_PRIVATE)


def history_strip(modality: str) -> gr.HTML:
    """The strip, still hidden; its element id begins with the modality."""
    return html("", html_template=_TEMPLATE, js_on_load=_STRIP_JS, elem_id=f"{modality}-history")


def _thumbnail(sessions: Sessions, media: Path, start: float | None) -> str:
    if start is None:
        return picture_uri(media, _THUMBNAIL)
    return webp_uri(log_mel_webp(sessions.audio_view(media, start).log_mel, _THUMBNAIL))


def _read(entry: Any, noun: str) -> tuple[str, float | None, dict[str, Any]]:
    """Path, start and settings of an entry, which comes from the browser: it may be anything.

    Raises:
        OptionsError: it is no entry.
    """
    try:
        values = dict(json.loads(entry))
        media, start = values.pop("media"), values.pop("start")
        if not isinstance(media, str) or not (start is None or isinstance(start, int | float)):
            raise ValueError
        return media, start, values
    except (TypeError, ValueError, KeyError):
        raise OptionsError(Phrase("This comparison cannot be restored: choose the {noun} again.", noun=noun)) from None
