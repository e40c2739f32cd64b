"""The Gradio page: its title, and its tabs."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from ui.about import header_html
from ui.html import html
from ui.markov_demo import build_how_it_works
from ui.markov_runs import Lesson
from ui.tab import Desk, build_desk

# Uploads are deleted when they are this old, looked for this often; in seconds.
UPLOAD_AGE, UPLOAD_CHECK = 3600, 600


def build_page(desks: Sequence[Desk], lessons: Sequence[Lesson] = ()) -> gr.Blocks:
    """The page, with a tab for each desk, one for each medium at most, and one that explains with ``lessons``."""
    with gr.Blocks(title="LoRA-MCL Studio", analytics_enabled=False, delete_cache=(UPLOAD_CHECK, UPLOAD_AGE)) as page:
        html(header_html([desk.medium for desk in desks], _num_hypotheses(desks)))
        with gr.Tabs(elem_classes="studio-tabs"):
            for desk in desks:
                with gr.Tab(desk.medium.tab, id=desk.medium.name):
                    build_desk(page, desk)
            if lessons:
                with gr.Tab("How it works", id="how-it-works"):
                    build_how_it_works(lessons)
    return page


def _num_hypotheses(desks: Sequence[Desk]) -> int:
    """What the title counts: the first desk's, should they differ."""
    return sum(spec.method == "hypothesis" for spec in desks[0].captioner.columns())
