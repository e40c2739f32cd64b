"""What happens at a desk: its events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from lora_mcl.errors import LoraMclError, MediaError
from ui.audio_view import Listening, hearing_html, notice_html
from ui.examples import Example
from ui.sessions import Studio, View
from ui.settings import fitting_groups, options_from

# Requests that may wait for their turn before visitors are asked to come back later.
QUEUE_SIZE = 16

# One comparison at a time, from all desks and endpoints together. Handlers get what was sent, not what Gradio
# makes of it, so that a file that is no picture or sound meets our message; Gradio has checked that it is an
# upload.
COMPARISON = {"concurrency_limit": 1, "concurrency_id": "captioner", "preprocess": False}
# Reading a sound is quick, and must not wait for a comparison.
_HEARING = {"concurrency_limit": 2, "concurrency_id": "hearing", "preprocess": False}
# Events of the page that no other program has a use for.
_PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}


@dataclass(frozen=True)
class Parts:
    """The components that take part in events; ``settings`` by option name, ``columns`` by column id.

    ``listening`` is there for sounds only.
    """

    media: gr.Image | gr.Audio
    settings: dict[str, gr.Slider]
    go: gr.Button
    stop: gr.Button
    status: gr.HTML
    gallery: gr.HTML
    columns: dict[str, gr.HTML]
    diversity: gr.HTML
    listening: Listening | None = None

    def choices(self) -> dict[str, Any]:
        """What a visitor sets besides the medium, by name."""
        return {**({"start": self.listening.start} if self.listening else {}), **self.settings}

    def inputs(self) -> list[Any]:
        return [self.media, *self.choices().values()]

    def outputs(self) -> list[Any]:
        return [*self.columns.values(), self.diversity, self.status, self.go, self.stop]

    def changes(self, view: View, shown: View | None) -> dict[Any, Any]:
        """The updates that lead from what is shown to ``view``; all of them where nothing is known."""
        updates: dict[Any, Any] = {}
        for id, part in self.columns.items():
            now, before = view.columns.get(id), None if shown is None else shown.columns.get(id)
            if shown is None or (now is None) != (before is None):
                updates[part] = gr.HTML(visible=False) if now is None else gr.HTML(now, visible=True)
            elif now != before:
                updates[part] = now
        if shown is None or shown.diversity != view.diversity:
            updates[self.diversity] = view.diversity
        if shown is None or (shown.status, shown.running) != (view.status, view.running):
            updates |= self.controls(view.running, view.status)
        return updates

    def controls(self, running: bool, status: str) -> dict[Any, Any]:
        return {
            self.go: gr.Button(interactive=not running),
            self.stop: gr.Button(interactive=running),
            self.status: status,
        }


def connect(page: gr.Blocks, studio: Studio, examples: tuple[Example, ...], parts: Parts) -> None:
    """Wire a desk's components; to be called inside the page's ``gr.Blocks``."""
    # Counts chosen examples: its change starts the comparison once the medium is in its place.
    chosen = gr.State(0)

    # Gradio's own ``cancels`` would miss a comparison that the server has not yet acknowledged to the browser.
    def wait(request: gr.Request) -> dict[Any, Any]:
        studio.ask(session_of(request))
        return parts.controls(running=True, status="One moment …")

    def compare(request: gr.Request, media: Any, *chosen: Any) -> Iterator[dict[Any, Any]]:
        # Gradio empties the outputs of a generator that yields nothing.
        yield {parts.status: gr.skip()}
        if not studio.begin(session_of(request)):
            return
        shown = None
        choices = dict(zip(parts.choices(), chosen, strict=True))
        try:
            start = choices.pop("start", 0)
            options = options_from(choices, studio.captioner.defaults)
            for view in studio.views(path_of(media, studio), options, session_of(request), start):
                yield parts.changes(view, shown)
                shown = view
        except LoraMclError as error:
            yield parts.controls(running=False, status=escape(str(error)))
            raise as_message(error) from None
        except gr.Error:
            # The server's own, such as ZeroGPU's when a visitor's quota is used up: it says why by itself.
            yield parts.controls(running=False, status="This could not be captioned now.")
            raise
        except Exception:
            yield parts.controls(running=False, status="Something went wrong here. Please try again.")
            raise

    def stop(request: gr.Request) -> dict[Any, Any]:
        view = studio.stop(session_of(request))
        return parts.changes(view, None) if view else parts.controls(running=False, status="")

    def start_over(request: gr.Request) -> dict[Any, Any]:
        studio.abandon(session_of(request))
        return parts.changes(studio.idle(), None)

    def choose(count: int, event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        example = examples[event.index]
        # An example is heard from its beginning, also where another sound was not.
        from_start = {parts.listening.start: 0} if parts.listening else {}
        return {parts.media: str(example.file), chosen: count + 1, **from_start, **start_over(request)}

    def leave(request: gr.Request) -> None:
        studio.leave(session_of(request))

    def fit_groups(beams: Any, groups: Any) -> Any:
        whole = isinstance(beams, int) and isinstance(groups, int)
        return fitting_groups(beams, groups) if whole else gr.skip()

    outputs = parts.outputs()
    started = gr.on(
        [parts.go.click, chosen.change], wait, None, outputs, trigger_mode="multiple", queue=False, **_PRIVATE
    )
    started.then(
        compare,
        parts.inputs(),
        outputs,
        trigger_mode="multiple",
        show_progress="minimal",
        show_progress_on=parts.status,
        api_visibility="private",
        **COMPARISON,
    )
    ends = {"outputs": outputs, "queue": False, **_PRIVATE}
    parts.stop.click(stop, None, **ends)
    other_media = [parts.media.input, parts.media.clear]
    gr.on([*other_media, parts.listening.start.input] if parts.listening else other_media, start_over, None, **ends)
    # Through the queue: only there does a change of state set off events.
    from_start = [parts.listening.start] if parts.listening else []
    parts.gallery.click(choose, chosen, [parts.media, chosen, *from_start, *outputs], **_PRIVATE)
    if parts.listening:
        _connect_listening(studio, parts.media, parts.listening)
    beams, groups = parts.settings["num_beams"], parts.settings["num_beam_groups"]
    gr.on(
        [beams.change, groups.change],
        fit_groups,
        [beams, groups],
        groups,
        preprocess=False,
        queue=False,
        **_PRIVATE,
    )
    page.unload(leave)


def _connect_listening(studio: Studio, media: gr.Audio, listening: Listening) -> None:
    """Show what the model hears whenever there is another sound, or another part of it is chosen."""

    def hear(sound: Any) -> dict[Any, Any]:
        if sound is None:
            return listening.idle()
        try:
            return listening.heard(studio.hear(path_of(sound, studio), 0))
        except LoraMclError as error:
            return listening.refused(str(error))

    def hear_part(sound: Any, start: Any) -> str:
        try:
            return hearing_html(studio.hear(path_of(sound, studio), start))
        except LoraMclError as error:
            return notice_html(str(error))

    media.change(hear, media, listening.outputs(), **_HEARING, **_PRIVATE)
    part = [media, listening.start]
    listening.start.input(hear_part, part, listening.hearing, trigger_mode="always_last", **_HEARING, **_PRIVATE)


def path_of(media: Any, studio: Studio) -> Path:
    """Where the uploaded medium is, from what Gradio's component for it sends."""
    if not isinstance(media, dict) or not media.get("path"):
        raise MediaError(studio.medium.missing)
    return Path(media["path"])


def session_of(request: gr.Request) -> str:
    """The browser tab or the client that asks."""
    return request.session_hash or ""


def as_message(error: LoraMclError) -> gr.Error:
    """An error that Gradio shows; it shows messages as HTML, and this one may quote a file name."""
    return gr.Error(escape(str(error)), print_exception=False)
