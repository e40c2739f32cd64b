"""One column written anew, with the settings as they are now or another seed, while the others stay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gradio as gr

from lora_mcl.columns import same_captions
from lora_mcl.errors import OptionsError
from lora_mcl.phrases import Phrase
from lora_mcl.types import CompareOptions
from ui.events import ONE_MOMENT, PRIVATE, Components, NothingNew, connect_views, session_of, show_views
from ui.html import html
from ui.sessions import Finished, Sessions, View
from ui.settings import options_for
from ui.texts.texts import texts_for

NOTHING = Phrase("Compare captions first.")
NO_SAMPLES = Phrase("Samples is 0: ask for at least one first.")

# The button that was pressed is drawn anew with its column, and then gets the focus back.
_JS = """
const panel = element.closest('[role=tabpanel]');
let pressed = null;
panel.addEventListener('click', ({target}) => {
  const button = target.closest('.redo');
  if (!button) return;
  pressed = button.closest('.caption-column').dataset.column;
  trigger('click', {column: pressed});
});
for (const name of ['pointerdown', 'keydown']) addEventListener(name, () => { pressed = null; }, true);
new MutationObserver(() => {
  const button = pressed && panel.querySelector(`[data-column="${pressed}"] .redo`);
  if (button && document.activeElement === document.body) button.focus();
}).observe(panel, {subtree: true, childList: true});
"""
# What to change for another answer, in the words of the sliders.
_CHANGES = {
    "hypothesis": "Beams per hypothesis",
    "beam": "Beams",
    "diverse-beam": "Diversity penalty",
}


def redo_options(finished: Finished, id: str, options: CompareOptions) -> CompareOptions:
    """Options that give the column another answer: those of the page, with a later seed for samples.

    Raises:
        OptionsError: the column would be written the same, or no samples are asked for.
    """
    method, before = finished.comparison.column(id).method, finished.options_of(id)
    if method == "sampling":
        if not options.num_samples:
            raise OptionsError(NO_SAMPLES)
        return replace(options, seed=max(options.seed, before.seed + 1))
    if same_captions(method, before, options):
        raise NothingNew(
            Phrase(
                "With the same settings this column is written the same: change one first, such as {setting}.",
                setting=Phrase(_CHANGES[method]),
            )
        )
    return options


def connect_redo(sessions: Sessions, components: Components) -> None:
    """Connect the columns' buttons; inside the tab."""
    clicked = html("", js_on_load=_JS, elem_classes="sr-only")
    token, column = gr.Textbox(visible=False), gr.State("")

    def wait(event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        controls = components.controls(running=True, status=texts_for(request)(ONE_MOMENT))
        return {token: sessions.request(session_of(request)), column: str(event.column), **controls}

    def redo(
        request: gr.Request, token: str, id: str, finished: Finished | None, *chosen: Any
    ) -> Iterator[dict[Any, Any]]:
        texts = texts_for(request)

        def views() -> Iterator[View]:
            if finished is None or id not in {spec.id for spec in finished.specs}:
                raise OptionsError(NOTHING)
            options = options_for(dict(zip(components.settings, chosen, strict=True)), sessions.captioner)
            options = redo_options(finished, id, options)
            yield from sessions.column_views(finished, id, options, session_of(request), texts, token)

        yield from show_views(sessions, components, session_of(request), token, views, texts)

    outputs = [token, column, *components.outputs()]
    requested = clicked.click(wait, None, outputs, queue=False, **PRIVATE)
    inputs = [column, components.finished, *components.settings.values()]
    connect_views(sessions, components, requested, token, redo, inputs)
