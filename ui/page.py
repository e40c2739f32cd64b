"""The Gradio page: a title and tabs."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from ui.batch import build_batch_tab
from ui.bounds import watch_bounds
from ui.header import OPEN_TAB_JS, header_html, header_js
from ui.link_events import connect_links
from ui.markov_demo import build_markov_tab
from ui.markov_runs import MarkovDemo
from ui.page_head import TITLE
from ui.results import ResultSet
from ui.results_tab import build_results_tab
from ui.tab import Tab, build_tab
from ui.texts.static import InBrowser, StaticHtml
from ui.votes import VoteStore

# Uploads are deleted when they are this old, looked for this often; in seconds.
UPLOAD_AGE, UPLOAD_CHECK = 3600, 600


def build_page(
    tabs: Sequence[Tab],
    demos: Sequence[MarkovDemo] = (),
    *,
    results: Sequence[ResultSet] = (),
    fetch_urls: bool = False,
    opening: bool = False,
    votes: VoteStore | None = None,
) -> gr.Blocks:
    """The page: one tab for each of ``tabs``, "Batch", and, if there are any, "How it works" and "Results".

    Args:
        results: measured results of the models that come with the repository.
        fetch_urls: whether the server fetches pictures and sounds from addresses that API clients give.
        opening: whether a tab's first example is compared when a visitor opens it.
        votes: where the votes on captions are kept; without it none are asked for.
    """
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(UPLOAD_CHECK, UPLOAD_AGE)) as page:
        modalities, count = [tab.modality for tab in tabs], _num_hypotheses(tabs)
        ids = [*(modality.name for modality in modalities), "batch"]
        ids += ["how-it-works"] if demos else []
        ids += ["results"] if results else []
        title = StaticHtml(lambda texts: header_html(modalities, count, texts), js_on_load=header_js(ids))
        with gr.Tabs(elem_classes="studio-tabs") as shown:
            parts = []
            for tab in tabs:
                with gr.Tab(InBrowser(tab.modality.tab), id=tab.modality.name):
                    parts.append(build_tab(page, tab, fetch_urls, opening, votes))
            with gr.Tab(InBrowser("Batch"), id="batch"):
                build_batch_tab(page, tabs, fetch_urls)
            if demos:
                with gr.Tab(InBrowser("How it works"), id="how-it-works"):
                    build_markov_tab(page, demos, [one for one in results if one.is_captions and one.specialisations])
            if results:
                with gr.Tab(InBrowser("Results"), id="results"):
                    build_results_tab(page, results)
        title.select(None, None, shown, js=OPEN_TAB_JS, api_visibility="private", show_progress="hidden", queue=False)
        watch_bounds()
        connect_links(page, tabs, parts)
    return page


def _num_hypotheses(tabs: Sequence[Tab]) -> int:
    """Number in the title: the first tab's, should they differ."""
    return sum(spec.method == "hypothesis" for spec in tabs[0].captioner.columns())
