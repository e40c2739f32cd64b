"""The Batch tab: many files in one pass, a table to sort and filter, and downloads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import gradio as gr

from lora_mcl.batch import AT_ONCE, BatchCaptioner
from lora_mcl.errors import LoraMclError
from lora_mcl.languages import LANGUAGES
from lora_mcl.phrases import Phrase
from ui.batch_endpoint import connect_batch_endpoint
from ui.batch_files import FILES, MAX_FILES, batch_files
from ui.batch_run import BatchRuns, Progress, progress_of, write_downloads
from ui.batch_table import row_html
from ui.events import session_of
from ui.failures import apologising
from ui.html import html, problem_html
from ui.media_input import FilesInput
from ui.settings import options_from
from ui.sliders import setting_sliders
from ui.tab import Tab
from ui.texts.static import InBrowser, StaticHtml, choices_in, translate_when_opened
from ui.texts.texts import ENGLISH, FRENCH, Texts, texts_for

# Batches wait for each other, and not for single comparisons, whose token steps they share.
_BATCH = {"concurrency_limit": 1, "concurrency_id": "batch", "preprocess": False}
_PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}

_SORTS = {
    "As given": "index",
    "Most disagreement first": "disagreement",
    "Least disagreement first": "agreement",
    "Longest first": "longest",
    "Shortest first": "shortest",
}
_ANY = "Any language"
_COUNT = "{count} of {total} rows match"

# Rows are arranged in the browser: sorted by what the visitor chose, and hidden where they do not match.
_TABLE_JS = """
const arrange = () => {
  const body = element.querySelector('tbody');
  if (!body) return;
  const [sort, language, disagreement, words] = element.arrangement || ['index', '', 0, 0];
  const number = (row, name) => Number(row.dataset[name]);
  const keys = {
    index: (row) => number(row, 'index'),
    disagreement: (row) => -number(row, 'disagreement'),
    agreement: (row) => number(row, 'disagreement') < 0 ? 2 : number(row, 'disagreement'),
    longest: (row) => -number(row, 'words'),
    shortest: (row) => row.dataset.state === 'failed' ? 1e9 : number(row, 'words'),
  };
  const rows = [...body.children];
  rows.sort((a, b) => keys[sort](a) - keys[sort](b) || number(a, 'index') - number(b, 'index'));
  rows.forEach((row, place) => { if (body.children[place] !== row) body.insertBefore(row, body.children[place]); });
  let shown = 0;
  for (const row of rows) {
    row.hidden = (language && !row.dataset.languages.split(' ').includes(language))
      || (disagreement > 0 && number(row, 'disagreement') * 100 < disagreement) || number(row, 'words') < words;
    shown += !row.hidden;
  }
  const sentence = COUNT[document.documentElement.lang] || COUNT.en;
  element.querySelector('.count').textContent = shown < rows.length
    ? sentence.replace('{count}', shown).replace('{total}', rows.length) : '';
};
document.addEventListener('arrange-batch', ({detail}) => { element.arrangement = detail; arrange(); });
watch('value', arrange);
"""
_ARRANGE_JS = """
(...detail) => {
  document.dispatchEvent(new CustomEvent('arrange-batch', {detail}));
  return [];
}
"""
# A refusal is of the files that it was about.
_FORGET_JS = """
() => {
  document.querySelector('#batch-status .problem')?.remove();
  return [];
}
"""
_TEMPLATE = (
    '<p class="count" role="status"></p><div class="batch-scroll" tabindex="0" role="region" '
    'aria-labelledby="batch-table-name"><span class="sr-only" id="batch-table-name">'
    "${(NAMES)[document.documentElement.lang] || 'Captions'}</span>"
    '<table class="batch"><tbody>${value}</tbody></table></div>'
).replace("NAMES", repr({texts.language: texts("Captions") for texts in (ENGLISH, FRENCH)}))


@dataclass(frozen=True)
class _Components:
    """The tab's components that take part in events."""

    files: gr.File
    settings: dict[str, gr.Slider]
    start: gr.Button
    stop: gr.Button
    status: gr.HTML
    table: gr.HTML
    tools: gr.Row
    downloads: tuple[gr.DownloadButton, ...]

    def outputs(self) -> list[Any]:
        return [self.start, self.stop, self.status, self.table, self.tools, *self.downloads]

    def running(self, running: bool, status: str) -> dict[Any, Any]:
        return {
            self.start: gr.Button(interactive=not running),
            self.stop: gr.Button(interactive=running),
            self.status: status,
        }


def build_batch_tab(page: gr.Blocks, tabs: Sequence[Tab], fetch_urls: bool = False) -> None:
    """Build the tab's components and events, inside its ``gr.Tab``; element ids begin with ``batch``."""
    takes = Phrase("Up to {count} {files}, or a zip", count=MAX_FILES, files=_taken(tabs))
    with gr.Row(elem_classes="inputs"):
        with gr.Column(min_width=300):
            files = gr.File(
                label=InBrowser(takes),
                file_count="multiple",
                type="filepath",
                height=190,
                elem_id="batch-files",
            )
        with gr.Column(min_width=300):
            with gr.Row(elem_classes="actions"):
                start = gr.Button(InBrowser("Caption all"), variant="primary", elem_id="batch-start")
                stop = gr.Button(InBrowser("Stop"), interactive=False, min_width=90, scale=0, elem_id="batch-stop")
            status = StaticHtml(_hint_html, elem_id="batch-status", elem_classes="status")
            with gr.Accordion(InBrowser("Settings"), open=False, elem_id="batch-settings"):
                settings = setting_sliders("batch", tabs[0].captioner.defaults)
    with gr.Row(visible=False, elem_id="batch-tools", elem_classes="batch-tools") as tools:
        controls = _arrangement()
        downloads = tuple(
            gr.DownloadButton(InBrowser(label), min_width=100, size="sm", scale=0, elem_id=f"batch-{id}")
            for id, label in (("csv", "Download CSV"), ("json", "Download JSON"), ("report", "Download report (HTML)"))
        )
    translate_when_opened(page, {controls[0]: choices_in(_sorts()), controls[1]: choices_in(_languages())})
    counts = {texts.language: texts(_COUNT) for texts in (ENGLISH, FRENCH)}
    table_js = _TABLE_JS.replace("COUNT", repr(counts))
    table = html("", html_template=_TEMPLATE, js_on_load=table_js, elem_id="batch-table")
    components = _Components(files, settings, start, stop, status, table, tools, downloads)
    _connect(page, tabs, components)
    gr.on([control.change for control in controls], None, controls, None, js=_ARRANGE_JS, **_PRIVATE)
    connect_batch_endpoint(
        partial(_progress, tabs), FilesInput(FILES, fetch_urls), settings, files.GRADIO_CACHE, concurrency=_BATCH
    )


def _hint_html(texts: Texts) -> str:
    """What a batch gives, until one is started."""
    hint = texts("You get a table to sort and filter, and files to keep: a report that opens offline, CSV and JSON.")
    return f"<p>{hint}</p>"


def _arrangement() -> list[Any]:
    """The order and filter of the rows."""
    return [
        gr.Dropdown(_sorts(), value="index", label=InBrowser("Sort"), elem_id="batch-sort"),
        gr.Dropdown(_languages(), value="", label=InBrowser("Language"), elem_id="batch-language"),
        gr.Slider(
            0, 100, value=0, step=5, label=InBrowser("Least disagreement, %"), buttons=[], elem_id="batch-disagreement"
        ),
        gr.Slider(0, 40, value=0, step=1, label=InBrowser("Least words"), buttons=[], elem_id="batch-words"),
    ]


def _sorts() -> list[tuple[str, str]]:
    return list(_SORTS.items())


def _languages() -> list[tuple[str, str]]:
    return [(_ANY, ""), *((name, code) for code, name in LANGUAGES.items())]


def _taken(tabs: Sequence[Tab]) -> Phrase:
    """The files that the models of the tabs take, in words."""
    names = {tab.modality.name for tab in tabs}
    if names == {"image"}:
        return Phrase("pictures")
    return Phrase("sounds") if names == {"audio"} else Phrase("pictures and sounds")


def _progress(
    tabs: Sequence[Tab], values: Mapping[str, Any], uploads: Any, folder: str, **options: Any
) -> Iterator[Any]:
    """Progress of the batch that a visitor or client asks for.

    Raises:
        LoraMclError: a setting cannot be used, or there are no files, too many, or a damaged archive.
    """
    captioners = {
        tab.modality.name: BatchCaptioner(tab.captioner, options_from(values, tab.captioner.defaults)) for tab in tabs
    }
    # A GPU that is lent for one comparison has no steps to share.
    at_once = min(AT_ONCE, *(tab.max_comparisons for tab in tabs))
    with batch_files(uploads, folder) as files:
        yield from progress_of(files, captioners, at_once=at_once, **options)


def _connect(page: gr.Blocks, tabs: Sequence[Tab], components: _Components) -> None:
    runs = BatchRuns()
    phrasebooks = {one.name: one.phrasebook for tab in tabs for one in tab.texts if one.phrasebook}
    folder = components.files.GRADIO_CACHE

    def wait(request: gr.Request) -> dict[Any, Any]:
        runs.begin(session_of(request))
        return {
            **components.running(True, _status_html("One moment …", 0, 1, texts_for(request))),
            components.table: "",
            components.tools: gr.Row(visible=False),
        }

    def caption(request: gr.Request, uploads: Any, *chosen: Any) -> Iterator[dict[Any, Any]]:
        stop = runs.stop_of(session_of(request))
        values = dict(zip(components.settings, chosen, strict=True))
        texts = texts_for(request)
        rows = ""
        shown = 0
        try:
            with apologising():
                for progress in _progress(tabs, values, uploads, folder, should_stop=stop.is_set):
                    rows += "".join(
                        row_html(index, entry, texts, phrasebooks) for index, entry in progress.entries[shown:]
                    )
                    shown = progress.done
                    if progress.is_over:
                        yield {**_finished(components, progress, folder, texts), components.table: rows}
                    else:
                        status = _status_html(progress.sentence(), progress.done, progress.total, texts)
                        yield {components.status: status, components.table: rows}
        except LoraMclError as error:
            yield components.running(False, f'<p role="status">{problem_html(texts.error(error))}</p>')

    def refuse(request: gr.Request) -> dict[Any, Any]:
        sentence = texts_for(request)("This could not be done now. Please try again in a minute.")
        return components.running(False, f'<p role="status">{problem_html(sentence)}</p>')

    def stop(request: gr.Request) -> None:
        runs.stop(session_of(request))

    def leave(request: gr.Request) -> None:
        runs.forget(session_of(request))

    components.files.change(None, None, None, js=_FORGET_JS, **_PRIVATE)
    outputs = components.outputs()
    at_once = {"queue": False, **_PRIVATE}
    requested = components.start.click(wait, None, outputs, **at_once)
    captioning = requested.then(
        caption, [components.files, *components.settings.values()], outputs, **_BATCH, **_PRIVATE
    )
    captioning.failure(refuse, None, outputs, **at_once)
    components.stop.click(stop, None, None, **at_once)
    page.unload(leave)


def _finished(components: _Components, progress: Progress, folder: str, texts: Texts) -> dict[Any, Any]:
    """Updates at the end: the buttons, the last sentence and, if any file was finished, the downloads."""
    updates = components.running(False, f'<p role="status">{escape(texts(progress.sentence()))}</p>')
    if progress.entries:
        files = write_downloads(progress, Path(mkdtemp(dir=folder)), texts)
        updates[components.tools] = gr.Row(visible=True)
        updates |= {button: str(file) for button, file in zip(components.downloads, files, strict=True)}
    return updates


def _status_html(sentence: str, done: int, total: int, texts: Texts) -> str:
    return (
        f'<p role="status">{escape(texts(sentence))}</p>'
        f'<progress max="{total}" value="{done}" aria-label="{texts("Files done")}"></progress>'
    )
