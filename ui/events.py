"""What happens at a desk: its events, and the named endpoint ``/compare_image``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from lora_mcl.errors import LoraMclError, MediaError
from ui.examples import Example
from ui.settings import fitting_groups, options_from
from ui.studio import Studio, View

# Requests that may wait for their turn before visitors are asked to come back later.
QUEUE_SIZE = 16

# One comparison at a time, from the page and the endpoint together. Handlers get what was sent, not what
# Gradio makes of it, so that a file that is no picture meets our message; Gradio has checked that it is an
# upload.
_COMPARISON = {"concurrency_limit": 1, "concurrency_id": "captioner", "preprocess": False}
# Events of the page that no other program has a use for.
_PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}


@dataclass(frozen=True)
class Parts:
    """The components that take part in events; ``settings`` by option name, ``columns`` by column id."""

    media: gr.Image
    settings: dict[str, gr.Slider]
    go: gr.Button
    stop: gr.Button
    status: gr.HTML
    gallery: gr.HTML
    columns: dict[str, gr.HTML]
    diversity: gr.HTML

    def inputs(self) -> list[Any]:
        return [self.media, *self.settings.values()]

    def outputs(self) -> list[Any]:
        return [*self.columns.values(), self.diversity, self.status, self.go, self.stop]

    def changes(self, view: View, shown: View | None) -> dict[Any, Any]:
        """The updates that lead from what is shown to ``view``; all of them where nothing is known."""
        updates: dict[Any, Any] = {
            self.columns[id]: html for id, html in view.columns.items() if shown is None or shown.columns[id] != html
        }
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

    def wait() -> dict[Any, Any]:
        return parts.controls(running=True, status="One moment …")

    def compare(request: gr.Request, media: Any, *settings: Any) -> Iterator[dict[Any, Any]]:
        shown = None
        try:
            options = options_from(dict(zip(parts.settings, settings, strict=True)), studio.captioner.defaults)
            for view in studio.views(_path(media, studio), options, _session(request)):
                yield parts.changes(view, shown)
                shown = view
        except LoraMclError as error:
            yield parts.controls(running=False, status=escape(str(error)))
            raise _message(error) from None
        except Exception:
            yield parts.controls(running=False, status="Something went wrong here. Please try again.")
            raise

    def stop(request: gr.Request) -> dict[Any, Any]:
        view = studio.stop(_session(request))
        return parts.changes(view, None) if view else parts.controls(running=False, status="")

    def start_over(request: gr.Request) -> dict[Any, Any]:
        studio.stop(_session(request))
        return parts.changes(studio.idle(), None)

    def choose(count: int, event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        example = examples[event.index]
        return {parts.media: str(example.file), chosen: count + 1, **start_over(request)}

    def leave(request: gr.Request) -> None:
        studio.stop(_session(request))

    def fit_groups(beams: Any, groups: Any) -> Any:
        whole = isinstance(beams, int) and isinstance(groups, int)
        return fitting_groups(beams, groups) if whole else gr.skip()

    outputs = parts.outputs()
    started = gr.on(
        [parts.go.click, chosen.change], wait, None, outputs, trigger_mode="multiple", queue=False, **_PRIVATE
    )
    run = started.then(
        compare,
        parts.inputs(),
        outputs,
        trigger_mode="multiple",
        show_progress="minimal",
        show_progress_on=parts.status,
        api_visibility="private",
        **_COMPARISON,
    )
    ends = {"outputs": outputs, "cancels": [run], "queue": False, **_PRIVATE}
    parts.stop.click(stop, None, **ends)
    gr.on([parts.media.input, parts.media.clear], start_over, None, **ends)
    # Through the queue: only there does a change of state set off events.
    parts.gallery.click(choose, chosen, [parts.media, chosen, *outputs], cancels=[run], **_PRIVATE)
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


def connect_endpoint(studio: Studio, parts: Parts) -> None:
    """Offer ``/compare_image`` to other programs; to be called inside the page's ``gr.Blocks``."""

    def compare_image(
        request: gr.Request,
        image: Any,
        num_beams: Any,
        num_beam_groups: Any,
        diversity_penalty: Any,
        hypothesis_beams: Any,
        max_new_tokens: Any,
    ) -> Iterator[dict[str, Any]]:
        """Caption a picture with every hypothesis, with beam search and with diverse beam search.

        Args:
            image: the picture; JPEG, PNG, WEBP, GIF, BMP, TIFF or AVIF.
            num_beams: beams of both searches, and captions they return.
            num_beam_groups: groups of diverse beam search; must divide the beams.
            diversity_penalty: what a token costs that an earlier group chose, in nats.
            hypothesis_beams: beams of each hypothesis; 1 is greedy decoding.
            max_new_tokens: longest caption, in tokens.

        Returns:
            The comparison as far as it is, again and again; the last one is complete.
        """
        values = (num_beams, num_beam_groups, diversity_penalty, hypothesis_beams, max_new_tokens)
        try:
            options = options_from(dict(zip(parts.settings, values, strict=True)), studio.captioner.defaults)
            for comparison in studio.comparisons(_path(image, studio), options, _session(request)):
                yield comparison.to_dict()
        except LoraMclError as error:
            raise _message(error) from None

    gr.Button(visible=False).click(
        compare_image, parts.inputs(), gr.JSON(visible=False), api_name="compare_image", **_COMPARISON
    )


def _path(media: Any, studio: Studio) -> Path:
    """Where the uploaded medium is, from what Gradio's component for it sends."""
    if not isinstance(media, dict) or not media.get("path"):
        raise MediaError(studio.medium.missing)
    return Path(media["path"])


def _session(request: gr.Request) -> str:
    return request.session_hash or ""


def _message(error: LoraMclError) -> gr.Error:
    # Gradio shows messages as HTML, and this one may quote a file name.
    return gr.Error(escape(str(error)), print_exception=False)
