"""The "How it works" tab: two hypotheses specialise on strings of known origin, while one model averages."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from html import escape
from typing import Any

import gradio as gr

from ui.html import html
from ui.markov_runs import Frame, MarkovDemo, Run
from ui.markov_view import board_html, figures_html, recipes_html
from ui.results import ResultSet
from ui.results_view import matrix_html
from ui.texts.static import InBrowser, StaticHtml, choices_in, documented, translate_when_opened
from ui.texts.texts import ENGLISH, FRENCH, Texts, texts_for

_PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
# One live training at a time: they share the processor with the captions.
_TRAINING = {"concurrency_limit": 1, "concurrency_id": "demo"}
# Seconds between the frames of a played run; for visitors who want reduced motion, between a few stills.
_PAUSE, _LONG_PAUSE = 0.12, 1.5
_STILLS = 5
_REDUCED_MOTION_JS = "(setup, live) => [setup, live, matchMedia('(prefers-reduced-motion: reduce)').matches]"
# The same words at every step, so that a screen reader announces them once; the slider shows the step.
PLAYING, TRAINING = "Playing …", "Training …"

# On a phone the drawings are below the buttons: go there when they begin to move.
_STATUS_JS = f"""
watch('value', () => {{
  const board = element.closest('[role=tabpanel]').querySelector('.demo');
  const moving = {[texts(status) for texts in (ENGLISH, FRENCH) for status in (PLAYING, TRAINING)]}
    .includes(props.value);
  if (moving && board.getBoundingClientRect().top > innerHeight) board.scrollIntoView();
}});
"""


def _intro_html(texts: Texts) -> str:
    intro = texts(
        "Two hidden recipes write strings of beads, ○ and ●. The computer sees the strings and never which recipe "
        "wrote which. <b>One model</b> can only learn the average of the recipes, which none follows. <b>Two "
        "hypotheses</b> come apart, because each string teaches only the one that already explains it better: each "
        "finds a recipe. Captions are strings too, and their hidden recipes are the ways to describe a picture."
    )
    title = texts("Two hidden recipes")
    return f'<div class="demo-intro"><h2 class="sr-only">{title}</h2><p class="lead">{intro}</p></div>'


def _em_html(texts: Texts) -> str:
    why = texts(
        "Every training step first asks which hypothesis explains each string best (who could have written it?), then "
        "improves that hypothesis on the strings it won. Statisticians call this pair of steps EM, expectation and "
        "maximisation: each makes the other easier, so a small lead grows until every hypothesis has a recipe of its "
        "own."
    )
    return (
        f'<section class="about" aria-label="{texts("Why this works")}"><p><b>{texts("Why this works.")}</b> {why}</p>'
        "</section>"
    )


def _captions_html(results: Sequence[ResultSet], texts: Texts) -> str:
    """The last step: the same as in the demonstration, measured on captions."""
    note = texts(
        "Captions are strings of words, and their recipes are ways to describe. This page's model was trained in the "
        "same way, without the kinds' names, and each kind found a hypothesis: of its test captions, the share that "
        "each hypothesis explains best."
    )
    cards = "".join(
        f'<section class="card"><h3>'
        f"{escape(texts('From beads back to captions: {media}', media=texts(found.title).lower()))}</h3>"
        f'{matrix_html(found.specialisations[0], texts)}<p class="note">{note}</p></section>'
        for found in results
    )
    return f'<div class="results"><div class="demo">{cards}</div></div>'


def build_markov_tab(page: gr.Blocks, demos: Sequence[MarkovDemo], results: Sequence[ResultSet] = ()) -> None:
    """Lay the tab out and wire it; to be called inside its tab, with at least one demo.

    Args:
        results: measured on captions, each with who wins which kind of them; the tab's last step.
    """
    by_name = {demo.name: demo for demo in demos}
    first = demos[0]
    StaticHtml(_intro_html)
    with gr.Row(elem_classes="inputs"):
        with gr.Column(min_width=300):
            setups = [(demo.title, demo.name) for demo in demos]
            setup = gr.Radio(
                setups,
                value=first.name,
                label=InBrowser("Set-up"),
                elem_id="markov-setup",
            )
            translate_when_opened(page, {setup: choices_in(setups)})
            recipes = StaticHtml(lambda texts: recipes_html(first, texts))
        with gr.Column(min_width=300):
            step = gr.Slider(
                0,
                first.recorded.steps,
                value=first.recorded.steps,
                step=1,
                label=InBrowser("Training step"),
                info=InBrowser("Drag to go back to the beginning"),
                elem_id="markov-step",
            )
            with gr.Row(elem_classes="actions"):
                play = gr.Button(InBrowser("Play"), min_width=80, elem_id="markov-play")
                train = gr.Button(InBrowser("Train live"), variant="primary", min_width=140, elem_id="markov-train")
                stop = gr.Button(InBrowser("Stop"), interactive=False, min_width=80, scale=0, elem_id="markov-stop")
            status = html(
                "",
                html_template='<p role="status">${value}</p>',
                js_on_load=_STATUS_JS,
                elem_id="markov-status",
                elem_classes="status",
            )
    board = StaticHtml(lambda texts: board_html(first, first.recorded, first.recorded.steps, texts))
    StaticHtml(_em_html)
    if results:
        StaticHtml(partial(_captions_html, results), elem_id="markov-captions")
    figures = StaticHtml(lambda texts: figures_html(first, texts))
    # The run on show where it is not the recorded one.
    live = gr.State(None)

    controls = [play, train, stop, status]

    def running(text: str) -> dict[Any, Any]:
        return {play: _off(), train: _off(), stop: gr.Button(interactive=True), status: text}

    def resting(text: str) -> dict[Any, Any]:
        on = gr.Button(interactive=True)
        return {play: on, train: on, stop: _off(), status: text}

    def show(name: str, run: Run, at: float, texts: Texts) -> dict[Any, Any]:
        return {step: gr.Slider(maximum=run.steps, value=at), board: board_html(_demo(by_name, name), run, at, texts)}

    def choose(name: Any, request: gr.Request) -> dict[Any, Any]:
        texts = texts_for(request)
        demo = _demo(by_name, name)
        return {
            **show(name, demo.recorded, demo.recorded.steps, texts),
            **resting(""),
            live: None,
            recipes: recipes_html(demo, texts),
            figures: figures_html(demo, texts),
        }

    def move(name: Any, run: Run | None, at: Any, request: gr.Request) -> str:
        demo = _demo(by_name, name)
        return board_html(demo, run or demo.recorded, _number(at), texts_for(request))

    def play_run(name: Any, run: Run | None, reduced_motion: Any, request: gr.Request) -> Iterator[dict[Any, Any]]:
        texts = texts_for(request)
        run = run or _demo(by_name, name).recorded
        still = reduced_motion is True
        for frame in _stills(run.frames) if still else run.frames:
            yield show(name, run, frame.step, texts)
            time.sleep(_LONG_PAUSE if still else _PAUSE)
        yield resting("")

    def train_live(name: Any, request: gr.Request) -> Iterator[dict[Any, Any]]:
        texts = texts_for(request)
        demo, seed, started = _demo(by_name, name), random.randrange(1_000_000), time.perf_counter()
        with closing(demo.live(seed)) as runs:
            for run in runs:
                yield {**show(name, run, run.frames[-1].step, texts), status: texts(TRAINING), live: run}
        seconds = time.perf_counter() - started
        yield resting(
            texts(
                "Trained in {seconds:.0f} s from random start {seed}. Drag the slider to watch it again.",
                seconds=seconds,
                seed=seed,
            )
        )

    def halt(name: Any, run: Run | None, request: gr.Request) -> dict[Any, Any]:
        texts = texts_for(request)
        if run is not None and run.frames and run.frames[-1].step < run.steps:
            reached = run.frames[-1].step
            return resting(texts("Stopped after step {step}. The slider shows how far it came.", step=reached))
        return resting("")

    started = {"queue": False, **_PRIVATE}

    def play_soon(request: gr.Request) -> dict[Any, Any]:
        return running(texts_for(request)(PLAYING))

    def train_soon(request: gr.Request) -> dict[Any, Any]:
        return running(texts_for(request)("One moment …"))

    playing = play.click(play_soon, None, controls, **started).then(
        play_run,
        [setup, live, gr.Checkbox(visible=False)],
        [step, board, *controls],
        js=_REDUCED_MOTION_JS,
        concurrency_limit=8,
        **_PRIVATE,
    )
    training = train.click(train_soon, None, controls, **started).then(
        train_live, setup, [step, board, live, *controls], **_TRAINING, **_PRIVATE
    )
    ends = {"cancels": [playing, training], "queue": False, **_PRIVATE}
    stop.click(halt, [setup, live], controls, **ends)
    setup.change(choose, setup, [step, board, live, recipes, figures, *controls], preprocess=False, **ends)
    step.input(move, [setup, live, step], board, trigger_mode="always_last", preprocess=False, queue=False, **_PRIVATE)
    _connect_endpoints(by_name, setup, step)


def _connect_endpoints(by_name: dict[str, MarkovDemo], setup: gr.Radio, step: gr.Slider) -> None:
    """Offer the recorded runs and live training to other programs."""

    def markov_step(setup: Any, step: Any) -> dict[str, Any]:
        """One moment of the recorded Markov experiment: one model and two hypotheses.

        Args:
            setup: transition1 or transition2.
            step: training step; the last recorded one up to it is returned.

        Returns:
            Loss, matrices and winners of one model and of two hypotheses, see lora_mcl.markov.Snapshot.
        """
        demo = _demo(by_name, setup)
        return _moment(demo, demo.recorded, demo.recorded.at(_number(step)))

    def markov_train(setup: Any, seed: Any = 0) -> Iterator[dict[str, Any]]:
        """Train one model and two hypotheses on a Markov mixture, at a small size.

        Args:
            setup: transition1 or transition2.
            seed: of the random start and the training strings.

        Returns:
            The moments that the training comes to, one after the other.
        """
        demo = _demo(by_name, setup)
        with closing(demo.live(int(_number(seed)))) as runs:
            for run in runs:
                yield _moment(demo, run, len(run.frames) - 1)

    setup, step = documented(setup), documented(step)
    seed = gr.Number(0, label="Seed", precision=0, visible=False)
    shared = {"preprocess": False}
    gr.Button(visible=False).click(
        markov_step, [setup, step], gr.JSON(visible=False), api_name="markov_step", queue=False, **shared
    )
    gr.Button(visible=False).click(
        markov_train, [setup, seed], gr.JSON(visible=False), api_name="markov_train", **_TRAINING, **shared
    )


def _moment(demo: MarkovDemo, run: Run, index: int) -> dict[str, Any]:
    frame = run.frames[index]
    return {
        "setup": demo.name,
        "step": frame.step,
        "steps": run.steps,
        "one_model": frame.one.to_dict(),
        "two_hypotheses": frame.two.to_dict(),
    }


def _demo(by_name: dict[str, MarkovDemo], name: Any) -> MarkovDemo:
    if not isinstance(name, str) or name not in by_name:
        raise gr.Error(f"setup must be one of {', '.join(by_name)}.", print_exception=False)
    return by_name[name]


def _number(value: Any) -> float:
    """A whole number from 0 on, which comes from outside and may be anything."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**31:
        raise gr.Error("step and seed must be numbers from 0 on.", print_exception=False)
    return value


def _stills(frames: Sequence[Frame]) -> list[Frame]:
    """A few of the frames, evenly chosen, the first and the last among them."""
    count = min(_STILLS, len(frames))
    return [frames[round(index * (len(frames) - 1) / max(1, count - 1))] for index in range(count)]


def _off() -> gr.Button:
    return gr.Button(interactive=False)
