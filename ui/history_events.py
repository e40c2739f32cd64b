"""Comparisons of this visit, restored by a click on the strip of their thumbnails."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import gradio as gr

from lora_mcl.errors import LoraMclError, OptionsError
from lora_mcl.phrases import Phrase
from ui.events import PRIVATE, Components, session_of
from ui.html import problem_html
from ui.sessions import Sessions
from ui.settings import options_for
from ui.texts.texts import texts_for
from ui.uploads import uploaded_file
from ui.votes import content_hash


def connect_history(sessions: Sessions, components: Components) -> None:
    """Restore a comparison of the strip when it is clicked; inside the tab."""
    controls = components.audio_controls

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

    outputs = [components.media, components.chosen, *components.outputs(), *components.switch.outputs()]
    if controls is not None:
        outputs += [*controls.outputs(), controls.restored_start]
    # Through the queue: only there does a change of state set off events.
    components.history.click(restore, components.chosen, outputs, **PRIVATE)


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
