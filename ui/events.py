"""The events of a captioning tab."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from lora_mcl.errors import LoraMclError, MediaError
from ui.audio_view import AudioControls, audio_view_html, notice_html
from ui.examples import Example
from ui.sessions import Sessions, View
from ui.settings import fitting_groups, options_from

# Requests that may wait for their turn before visitors are asked to come back later.
QUEUE_SIZE = 16

# One comparison at a time, from all tabs and endpoints together. Handlers get what was sent, not what Gradio
# makes of it, so that a file that is no picture or sound meets our message; Gradio has checked that it is an
# upload.
COMPARISON = {"concurrency_limit": 1, "concurrency_id": "captioner", "preprocess": False}
# Reading a sound is quick, and must not wait for a comparison.
_AUDIO_VIEW = {"concurrency_limit": 2, "concurrency_id": "audio-view", "preprocess": False}
# Events of the page that no other program has a use for.
_PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}


@dataclass(frozen=True)
class Components:
    """The components that take part in events; ``settings`` by option name, ``columns`` by column id.

    ``audio_controls`` is there for sounds only.
    """

    media: gr.Image | gr.Audio
    settings: dict[str, gr.Slider]
    compare: gr.Button
    stop: gr.Button
    status: gr.HTML
    gallery: gr.HTML
    columns: dict[str, gr.HTML]
    diversity: gr.HTML
    audio_controls: AudioControls | None = None

    def choices(self) -> dict[str, Any]:
        """The components of the settings, by option name."""
        return {**({"start": self.audio_controls.start} if self.audio_controls else {}), **self.settings}

    def inputs(self) -> list[Any]:
        return [self.media, *self.choices().values()]

    def outputs(self) -> list[Any]:
        return [*self.columns.values(), self.diversity, self.status, self.compare, self.stop]

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
            self.compare: gr.Button(interactive=not running),
            self.stop: gr.Button(interactive=running),
            self.status: status,
        }


def connect(page: gr.Blocks, sessions: Sessions, examples: tuple[Example, ...], components: Components) -> None:
    """Wire a tab's components; to be called inside the page's ``gr.Blocks``."""
    # Counts chosen examples: its change starts the comparison once the media component holds it.
    chosen = gr.State(0)

    # Gradio's own ``cancels`` would miss a comparison that the server has not yet acknowledged to the browser.
    def wait(request: gr.Request) -> dict[Any, Any]:
        sessions.ask(session_of(request))
        return components.controls(running=True, status="One moment …")

    def compare(request: gr.Request, media: Any, *chosen: Any) -> Iterator[dict[Any, Any]]:
        # Gradio empties the outputs of a generator that yields nothing.
        yield {components.status: gr.skip()}
        if not sessions.begin(session_of(request)):
            return
        shown = None
        choices = dict(zip(components.choices(), chosen, strict=True))
        try:
            start = choices.pop("start", 0)
            options = options_from(choices, sessions.captioner.defaults)
            for view in sessions.views(path_of(media, sessions), options, session_of(request), start):
                yield components.changes(view, shown)
                shown = view
        except LoraMclError as error:
            yield components.controls(running=False, status=escape(str(error)))
            raise as_message(error) from None
        except gr.Error:
            # The server's own, such as ZeroGPU's when a visitor's quota is used up: it says why by itself.
            yield components.controls(running=False, status="This could not be captioned now.")
            raise
        except Exception:
            yield components.controls(running=False, status="Something went wrong here. Please try again.")
            raise

    def stop(request: gr.Request) -> dict[Any, Any]:
        view = sessions.stop(session_of(request))
        return components.changes(view, None) if view else components.controls(running=False, status="")

    def start_over(request: gr.Request) -> dict[Any, Any]:
        sessions.abandon(session_of(request))
        return components.changes(sessions.idle(), None)

    def choose(count: int, event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        example = examples[event.index]
        # An example is heard from its beginning, also where another sound was not.
        rewind = {components.audio_controls.start: 0} if components.audio_controls else {}
        return {components.media: str(example.file), chosen: count + 1, **rewind, **start_over(request)}

    def leave(request: gr.Request) -> None:
        sessions.leave(session_of(request))

    def fit_groups(beams: Any, groups: Any) -> Any:
        whole = isinstance(beams, int) and isinstance(groups, int)
        return fitting_groups(beams, groups) if whole else gr.skip()

    outputs = components.outputs()
    started = gr.on(
        [components.compare.click, chosen.change], wait, None, outputs, trigger_mode="multiple", queue=False, **_PRIVATE
    )
    started.then(
        compare,
        components.inputs(),
        outputs,
        trigger_mode="multiple",
        show_progress="minimal",
        show_progress_on=components.status,
        api_visibility="private",
        **COMPARISON,
    )
    ends = {"outputs": outputs, "queue": False, **_PRIVATE}
    components.stop.click(stop, None, **ends)
    other_media = [components.media.input, components.media.clear]
    gr.on(
        [*other_media, components.audio_controls.start.input] if components.audio_controls else other_media,
        start_over,
        None,
        **ends,
    )
    # Through the queue: only there does a change of state set off events.
    rewind = [components.audio_controls.start] if components.audio_controls else []
    components.gallery.click(choose, chosen, [components.media, chosen, *rewind, *outputs], **_PRIVATE)
    if components.audio_controls:
        _connect_audio_controls(sessions, components.media, components.audio_controls)
    beams, groups = components.settings["num_beams"], components.settings["num_beam_groups"]
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


def _connect_audio_controls(sessions: Sessions, media: gr.Audio, controls: AudioControls) -> None:
    """Show the model's input for each new sound, and each new start."""

    def load(sound: Any) -> dict[Any, Any]:
        if sound is None:
            return controls.idle()
        try:
            return controls.loaded(sessions.audio_view(path_of(sound, sessions), 0))
        except LoraMclError as error:
            return controls.refused(str(error))

    def move(sound: Any, start: Any) -> str:
        try:
            return audio_view_html(sessions.audio_view(path_of(sound, sessions), start))
        except LoraMclError as error:
            return notice_html(str(error))

    media.change(load, media, controls.outputs(), **_AUDIO_VIEW, **_PRIVATE)
    part = [media, controls.start]
    controls.start.input(move, part, controls.view, trigger_mode="always_last", **_AUDIO_VIEW, **_PRIVATE)


def path_of(media: Any, sessions: Sessions) -> Path:
    """Path of the uploaded file, from what Gradio's component sends."""
    if not isinstance(media, dict) or not media.get("path"):
        raise MediaError(sessions.modality.missing)
    return Path(media["path"])


def session_of(request: gr.Request) -> str:
    """Id of the browser tab or API client."""
    return request.session_hash or ""


def as_message(error: LoraMclError) -> gr.Error:
    """An error that Gradio shows; it shows messages as HTML, and this one may quote a file name."""
    return gr.Error(escape(str(error)), print_exception=False)
