"""The events of a captioning tab."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from html import escape
from typing import Any
from uuid import uuid4

import gradio as gr
from gradio.events import Dependency

from lora_mcl.errors import LoraMclError, OptionsError
from lora_mcl.types import fitting_groups
from ui.audio_view import AudioControls, audio_view_html, notice_html
from ui.examples import PageExample
from ui.failures import APOLOGY, apologising
from ui.history import history_entry
from ui.html import problem_html
from ui.model_switch import ModelSwitch
from ui.sessions import STOPPED, Sessions, View
from ui.settings import options_for
from ui.texts.texts import Texts, texts_for
from ui.uploads import browser_copy, uploaded_file
from ui.votes import content_hash

# Requests that may wait for their turn before visitors are asked to come back later.
QUEUE_SIZE = 16

# Comparisons at a time, from all tabs and endpoints together: each has a thread of the server. How many of them compute
# together is up to the captioners' schedulers.
MAX_COMPARISONS = 32
# Handlers get what was sent, not what Gradio makes of it, so that a file that is no picture or sound meets our message;
# Gradio has checked that it is an upload.
COMPARISON = {"concurrency_limit": MAX_COMPARISONS, "concurrency_id": "captioner", "preprocess": False}
# Reading a file is quick, and must not wait for a comparison.
_READING = {"concurrency_limit": 2, "concurrency_id": "reading", "preprocess": False}
# Events of the page that no other program has a use for.
PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}

# In the browser: how many answers that clear the columns are on their way. A comparison is asked for once there are
# none: the browser could apply such an answer last, and clear away what was compared meanwhile.
CLEARING = "(...given) => { window.clearing = (window.clearing ?? 0) + 1; return given; }"
CLEARED = "() => { window.clearing -= 1; }"
ONCE_CLEARED = "async () => { while (window.clearing) await new Promise((again) => setTimeout(again, 20)); return []; }"

ONE_MOMENT = "One moment …"
TOO_MANY = "Too many visitors just now: please try again in a minute."
FAILED = "This could not be captioned now."


class NothingNew(OptionsError):
    """What is asked for would change nothing: a reason, but no error."""


@dataclass(frozen=True)
class Components:
    """The components that take part in events; ``settings`` by option name, ``columns`` by column id.

    ``audio_controls`` is there for sounds only. ``finished`` holds the complete comparison that is shown, ``history``
    takes the entry of each. ``chosen`` is another one for each medium that was chosen by a click (how many clicks on
    examples the page had until then, and an id): its change starts the comparison once the media component holds it.
    ``switch`` shows settings and, of several models, the chosen one.
    """

    media: gr.Image | gr.Audio
    settings: dict[str, gr.Slider | gr.CheckboxGroup | gr.Radio]
    compare: gr.Button
    stop: gr.Button
    status: gr.HTML
    gallery: gr.HTML
    columns: dict[str, gr.HTML]
    diversity: gr.HTML
    finished: gr.State
    history: gr.HTML
    chosen: gr.State
    switch: ModelSwitch
    audio_controls: AudioControls | None = None

    @property
    def folder(self) -> str:
        """Where Gradio keeps uploads."""
        return self.media.GRADIO_CACHE

    def choices(self) -> dict[str, Any]:
        """The components of the settings, by option name."""
        return {**({"start": self.audio_controls.start} if self.audio_controls else {}), **self.settings}

    def inputs(self) -> list[Any]:
        return [self.media, *self.choices().values()]

    def outputs(self) -> list[Any]:
        return [
            *self.columns.values(),
            self.diversity,
            self.status,
            self.compare,
            self.stop,
            self.finished,
            self.history,
        ]

    def changes(self, view: View, shown: View | None) -> dict[Any, Any]:
        """The updates that lead from what is shown to ``view``; all of them where nothing is known.

        HTML that is shown already is given again as it is, which changes nothing in the browser: for a component that
        is left out, Gradio makes a new one in the session, again and again.
        """
        updates: dict[Any, Any] = {}
        for id, part in self.columns.items():
            now, before = view.columns.get(id), None if shown is None else shown.columns.get(id)
            if shown is None or (now is None) != (before is None):
                updates[part] = gr.HTML(visible=False) if now is None else gr.HTML(now, visible=True)
            else:
                updates[part] = now or ""
        updates |= {self.diversity: view.diversity, self.finished: view.finished}
        if shown is None or shown.running != view.running:
            return updates | self.controls(view.running, view.status)
        return updates | {self.status: view.status}

    def controls(self, running: bool, status: str) -> dict[Any, Any]:
        return {
            self.compare: gr.Button(interactive=not running),
            self.stop: gr.Button(interactive=running),
            self.status: status,
        }


def connect(page: gr.Blocks, sessions: Sessions, examples: tuple[PageExample, ...], components: Components) -> None:
    """Wire a tab's components; to be called inside the page's ``gr.Blocks``."""
    # Token of the requested comparison. It travels with the request: in the server's state, a comparison of the medium
    # before could find the token of the next one.
    token = gr.Textbox(visible=False)

    media, chosen = components.media, components.chosen
    beams_slider, groups_slider = components.settings["num_beams"], components.settings["num_beam_groups"]
    largest_beams, status = beams_slider.maximum, components.status

    # Gradio's own ``cancels`` would miss a comparison that the server has not yet acknowledged to the browser.
    def wait(request: gr.Request) -> dict[Any, Any]:
        status = texts_for(request)(ONE_MOMENT)
        return {token: sessions.request(session_of(request)), **components.controls(running=True, status=status)}

    def compare(request: gr.Request, token: str, media: Any, *chosen: Any) -> Iterator[dict[Any, Any]]:
        texts = texts_for(request)

        def views() -> Iterator[View]:
            choices = dict(zip(components.choices(), chosen, strict=True))
            start = choices.pop("start", None)
            options = options_for(choices, sessions.captioner)
            with uploaded_file(media, sessions.modality, components.folder) as file:
                yield from sessions.views(file, options, session_of(request), start, texts, token)

        yield from show_views(sessions, components, session_of(request), token, views, texts)

    def stop(request: gr.Request) -> dict[Any, Any]:
        session, texts = session_of(request), texts_for(request)
        too_late = sessions.is_quiet(session)
        view = sessions.stop(session, texts)
        if view is None:
            return components.controls(running=False, status="" if too_late else texts(STOPPED))
        return components.changes(view, None)

    def start_over(request: gr.Request) -> dict[Any, Any]:
        session = session_of(request)
        sessions.abandon(session)
        return components.changes(sessions.idle(session, texts_for(request)), None)

    def check(media: Any, request: gr.Request) -> dict[Any, Any]:
        """Show an upload as a copy if browsers cannot show it; refuse it at once if it cannot be used."""
        if media is None:
            return {components.status: gr.skip()}
        try:
            with apologising(), uploaded_file(media, sessions.modality, components.folder) as file:
                copy, notices = browser_copy(file, sessions.modality, components.folder)
        except LoraMclError as error:
            return {components.status: problem_html(texts_for(request).error(error))}
        if copy is None:
            return {components.status: gr.skip()}
        sessions.note_copy(copy, notices)
        return {components.media: str(copy)}

    def choose(click: str, before: tuple[int, str], request: gr.Request) -> dict[Any, Any]:
        count, index = read_click(click, len(examples))
        if count <= before[0]:  # it was overtaken on its way here by a later one
            return {status: gr.skip()}
        rewind = {components.audio_controls.start: 0} if components.audio_controls else {}
        return {media: str(examples[index].file), chosen: (count, uuid4().hex), **rewind, **start_over(request)}

    def switch(model: Any, request: gr.Request) -> dict[Any, Any]:
        texts = texts_for(request)
        try:
            options = components.switch.defaults(model)
        except LoraMclError as error:
            return {status: problem_html(texts.error(error))}
        return {**components.switch.updates(session_of(request), options, texts), **start_over(request)}

    def leave(request: gr.Request) -> None:
        sessions.forget(session_of(request))

    def fit_groups(beams: Any, groups: Any, restored: tuple[int, int] | None, request: gr.Request) -> dict[Any, Any]:
        """Fit the groups to the beams, with a notice; a number out of bounds is refused at the comparison."""
        whole = isinstance(beams, int) and isinstance(groups, int)
        if not whole or not 1 <= beams <= largest_beams or groups < 1 or not beams % groups:
            return {status: gr.skip()}
        if restored is not None and restored[0] == beams:
            return {groups_slider: restored[1], components.switch.restored: None}
        fitted = fitting_groups(beams, groups)
        return {
            groups_slider: fitted,
            status: texts_for(request)(
                "{beams} beams cannot be {groups} equal groups: Groups is {fitted} now.",
                beams=beams,
                groups=groups,
                fitted=fitted,
            ),
        }

    outputs = components.outputs()
    at_once = {"queue": False, **PRIVATE}
    requested = gr.on(
        [components.compare.click, chosen.change],
        wait,
        None,
        [token, *outputs],
        js=ONCE_CLEARED,
        trigger_mode="multiple",
        **at_once,
    )
    connect_views(sessions, components, requested, token, compare, components.inputs())
    components.stop.click(stop, None, outputs, **at_once)
    renewed = gr.on([media.input, media.clear], start_over, None, outputs, js=CLEARING, **at_once)
    renewed.then(check, media, [media, components.status], **_READING, **PRIVATE)
    renewed.then(None, js=CLEARED)
    start = [components.audio_controls.start] if components.audio_controls else []
    # Through the queue: only there does a change of state set off events. A click while an earlier one is on its way,
    # such as the page's own at its opening, waits for that one's answer: of two on their way the browser may apply the
    # earlier one's last. Which click is the latest is known to the browser alone.
    click = gr.Textbox(visible=False)
    last_click = f"() => [document.getElementById('{sessions.modality.name}-examples').dataset.click, null]"
    components.gallery.click(
        choose, [click, chosen], [media, chosen, *start, *outputs], js=last_click, trigger_mode="always_last", **PRIVATE
    )
    if components.audio_controls:
        components.audio_controls.start.input(start_over, None, outputs, js=CLEARING, **at_once).then(None, js=CLEARED)
        _connect_audio_controls(sessions, components)
    gr.on(
        [beams_slider.change, groups_slider.change],
        fit_groups,
        [beams_slider, groups_slider, components.switch.restored],
        [groups_slider, status, components.switch.restored],
        preprocess=False,
        **at_once,
    )
    if components.switch.several:
        choice = components.settings["model"]
        switched = choice.input(switch, choice, [*components.switch.outputs(), *outputs], js=CLEARING, **at_once)
        switched.then(None, js=CLEARED)
    page.unload(leave)


def read_click(click: Any, num_examples: int) -> tuple[int, int]:
    """A click on an example, as the browser sends it: how many there were, and the example's place.

    Raises:
        ValueError: it is none, or there is no such example.
    """
    count, index = map(int, str(click).split())
    if not 0 <= index < num_examples:
        raise ValueError(f"there are {num_examples} examples")
    return count, index


def show_views(
    sessions: Sessions,
    components: Components,
    session: str,
    token: str,
    views: Callable[[], Iterator[View]],
    texts: Texts,
) -> Iterator[dict[Any, Any]]:
    """The updates that show ``views``, if the request of that token is still wanted; errors become the status."""
    # Gradio empties the outputs of a generator that yields nothing.
    yield {components.status: gr.skip()}
    if not sessions.claim(session, token):
        # The browser may apply the answer to this request, which shows the page as writing, after a later one's end.
        if not sessions.is_latest(session, token) and sessions.is_quiet(session):
            yield components.controls(running=False, status="")
        return
    shown = None
    try:
        with apologising(), closing(views()) as found:
            for view in found:
                # In the last update of all, which Gradio sends twice, and not by an event of its own: that would find
                # nothing once the visitor has gone on.
                entry = history_entry(sessions, view.finished, texts) if view.finished else None
                yield components.changes(view, shown) | ({components.history: entry} if entry else {})
                shown = view
        # Ended by the visitor in the middle: the browser gets a generator's last output once more when it ends,
        # which may be after what a new comparison shows, or has shown to its end.
        if shown is not None and shown.running:
            last = sessions.is_latest(session, token) and sessions.is_quiet(session)
            yield components.changes(sessions.idle(session, texts), None) if last else {components.status: gr.skip()}
    except LoraMclError as error:
        message = texts.error(error)
        yield components.controls(running=False, status=problem_html(message))
        if isinstance(error, NothingNew):
            gr.Info(escape(message))
            return
        raise gr.Error(escape(message), title=texts("Error"), print_exception=False) from None
    except gr.Error as error:
        # Or the server's own, such as ZeroGPU's when a visitor's quota is used up: its message gives the reason.
        reason = texts(APOLOGY if error.message == APOLOGY else FAILED)
        yield components.controls(running=False, status=problem_html(reason))
        error.message, error.title = texts(error.message), texts(error.title)
        raise
    finally:
        sessions.withdraw(session, token)


def connect_views(
    sessions: Sessions,
    components: Components,
    requested: Dependency,
    token: gr.Textbox,
    show: Callable[..., Iterator[dict[Any, Any]]],
    inputs: list[Any],
) -> None:
    """After ``requested``, run ``show`` in the queue of the comparisons, with the token and the inputs."""

    def refuse(request: gr.Request, token: str) -> dict[Any, Any]:
        """After a failure: a request that is still unclaimed was refused by the full queue."""
        if sessions.claim(session_of(request), token):
            return components.controls(running=False, status=problem_html(texts_for(request)(TOO_MANY)))
        return {components.status: gr.skip()}

    showing = requested.then(
        show,
        [token, *inputs],
        components.outputs(),
        trigger_mode="multiple",
        show_progress="minimal",
        show_progress_on=components.status,
        api_visibility="private",
        postprocess=False,  # it would take a thread for each component of each update
        **COMPARISON | {"concurrency_limit": sessions.max_comparisons},
    )
    showing.failure(refuse, token, components.outputs(), queue=False, **PRIVATE)


def _connect_audio_controls(sessions: Sessions, components: Components) -> None:
    """Show the model's input for each new sound, and each new start.

    One event for both, one at a time: of two on their way the browser may apply the earlier one's answer last.
    """
    media, controls = components.media, components.audio_controls

    def show(sound: Any, start: Any, restored: Any, shown: str | None, request: gr.Request) -> dict[Any, Any]:
        texts = texts_for(request)
        if sound is None:
            return {**controls.idle(), controls.shown: None}
        moved = False
        try:
            with apologising(), uploaded_file(sound, sessions.modality, components.folder) as file:
                moved = str(file) == shown and restored is None
                if moved:
                    return {controls.view: audio_view_html(sessions.audio_view(file, start), texts)}
                start = restored[1] if restored and restored[0] == content_hash(file) else None
                loaded = controls.loaded(sessions.audio_view(file, start), texts)
                return {**loaded, controls.restored_start: None, controls.shown: str(file)}
        except LoraMclError as error:
            if moved:  # the choice of another part stays
                return {controls.view: notice_html(texts.error(error))}
            return {**controls.refused(texts.error(error)), controls.shown: None}

    gr.on(
        [media.change, controls.start.input],
        show,
        [media, controls.start, controls.restored_start, controls.shown],
        [*controls.outputs(), controls.restored_start, controls.shown],
        trigger_mode="always_last",
        **_READING,
        **PRIVATE,
    )


def session_of(request: gr.Request) -> str:
    """Id of the browser tab or API client."""
    return request.session_hash or ""
