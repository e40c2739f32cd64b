"""A captioning tab of the page: input, settings, and one column per way of decoding."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from lora_mcl.doubt import Doubt
from lora_mcl.phrasebook import Translator
from lora_mcl.types import AudioCaptionSource, CaptionSource
from ui.after import build_after, connect_after_endpoints
from ui.audio_view import audio_controls, recorder
from ui.better import Better
from ui.difference_switch import difference_switch
from ui.endpoints import connect_endpoint
from ui.events import MAX_COMPARISONS, Components, connect
from ui.example_player import connect_player
from ui.examples import PageExample, gallery_template, gallery_texts
from ui.header import figures_note_html
from ui.history import history_strip
from ui.history_events import connect_history
from ui.html import ARROWS_JS, html
from ui.modality import AUDIO, IMAGE, ModalityText
from ui.model_info import ModelInfo
from ui.model_switch import ModelSwitch, ModelTexts, board_columns, model_choice, model_panels
from ui.redo import connect_redo
from ui.sessions import DONE, REPEATED, WRITING, Sessions
from ui.settings import columns_to_choose
from ui.sliders import column_choice, setting_sliders
from ui.texts.static import InBrowser, StaticHtml, choices_in, translate_when_opened
from ui.texts.texts import ENGLISH, FRENCH
from ui.uploads import retype_js
from ui.vote_panel import blind_checkbox
from ui.votes import VoteStore
from ui.your_caption import connect_your_caption, your_caption

_EXAMPLES_JS = (
    ARROWS_JS
    + """
let clicks = 0;
const choose = (index) => {
  element.closest('[id$="-examples"]').dataset.click = `${++clicks} ${index}`;
  trigger('click');
};
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button?.dataset.play) trigger('play', {index: Number(button.dataset.play)});
  else if (button) choose(button.dataset.index);
});
const isLink = new URLSearchParams(location.search).has('tab');
if (!isLink && element.querySelector('.examples[data-opening]')) choose(0);
"""
)

# A button that is disabled loses the focus to the page: Compare and Stop hand it to each other.
_FOCUS_JS = """
const panel = element.closest('[role=tabpanel]');
const actions = panel.querySelector('.actions');
let held = false;
panel.addEventListener('focusin', ({target}) => { held = actions.contains(target); });
addEventListener('pointerdown', ({target}) => { if (!actions.contains(target)) held = false; });
new MutationObserver(() => {
  const lost = !document.activeElement || document.activeElement === document.body || document.activeElement.disabled;
  if (held && lost) actions.querySelector('button:not([disabled])')?.focus();
}).observe(actions, {subtree: true, attributes: true, attributeFilter: ['disabled']});
"""

# Ctrl+Enter compares, and so does Enter where it has no other meaning.
_KEYS_JS = """
addEventListener('keydown', (event) => {
  const elsewhere = event.target.closest('button, a, summary, input, textarea, [contenteditable], [role=tab]');
  const wanted = event.key === 'Enter' && (event.ctrlKey || event.metaKey || !elsewhere);
  if (!wanted || !element.offsetParent || event.target.closest('textarea')) return;
  event.preventDefault();
  actions.querySelector('button:not([disabled])')?.id.endsWith('-compare') && actions.querySelector('button').click();
});
"""

# On a phone the columns are below the input. Who asks for a comparison is brought to them when they begin to fill, and
# when they are complete: of a short comparison that end alone is shown. What is above them may still change its height
# then, so it is looked after for a second. Who does anything else meanwhile stays there.
_BEGUN = [texts(status) for texts in (ENGLISH, FRENCH) for status in (WRITING, REPEATED)]
_ENDED = [texts(status).partition("{")[0] for texts in (ENGLISH, FRENCH) for status in (REPEATED, DONE)]
_STATUS_JS = f"""
let asked = 0, wanted = false;
const asking = '[id$="-compare"], [id$="-examples"] [data-index], [id$="-history"] button';
const leave = () => {{ wanted = false; }};
addEventListener('click', ({{target}}) => {{
  if (!element.closest('[role=tabpanel]').contains(target.closest(asking))) return;
  asked += 1;
  wanted = true;
}}, true);
for (const name of ['pointerdown', 'wheel', 'touchmove', 'keydown'])
  addEventListener(name, leave, {{capture: true, passive: true}});
const bring = () => {{
  const places = element.closest('[role=tabpanel]').querySelectorAll('.cell, .vote');
  const shown = [...places].find((place) => place.offsetHeight);
  if (!wanted || !shown) return;
  const {{top, bottom}} = shown.getBoundingClientRect();
  const stacked = matchMedia('(max-width: 899px)').matches;
  const away = stacked ? top < 0 || top > innerHeight / 2 || bottom > innerHeight : top > innerHeight;
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  if (away) shown.scrollIntoView({{behavior: calm ? 'instant' : 'smooth'}});
}};
const settle = (mine, times) => {{
  if (mine !== asked) return;
  bring();
  if (times) setTimeout(() => settle(mine, times - 1), 250);
  else leave();
}};
watch('value', () => {{
  const is = (beginnings) => beginnings.some((beginning) => (props.value ?? '').startsWith(beginning));
  if (is({_ENDED})) settle(asked, 4);
  else if (is({_BEGUN})) bring();
}});
"""

_ALT = "The picture to be captioned"


@dataclass(frozen=True)
class Tab:
    """One captioning tab.

    Attributes:
        modality: what its captioner takes.
        examples: media to try, of that kind.
        info: what the captioner's model can and cannot do.
        better: the hypotheses against the baselines, where that was measured.
        doubt: when one of its captions is to be doubted, where that was measured.
        phrasebook: translates its captions, where they follow a known grammar.
        max_comparisons: how many run at a time; the others wait in the queue. The least of all tabs counts.
        others: of a captioner for several models, the texts of those after the first.
    """

    modality: ModalityText
    captioner: CaptionSource | AudioCaptionSource
    examples: tuple[PageExample, ...]
    info: ModelInfo
    better: Better | None = None
    doubt: Doubt | None = None
    phrasebook: Translator | None = None
    max_comparisons: int = MAX_COMPARISONS
    others: tuple[ModelTexts, ...] = ()

    @property
    def texts(self) -> tuple[ModelTexts, ...]:
        """The texts of each model."""
        return (ModelTexts(self.captioner.name, self.info, self.better, self.doubt, self.phrasebook), *self.others)


def build_tab(
    page: gr.Blocks, tab: Tab, fetch_urls: bool = False, opening: bool = False, votes: VoteStore | None = None
) -> Components:
    """Build a tab's components and events, inside its ``gr.Tab``; element ids begin with the modality's name.

    Args:
        opening: whether the first example is compared when a visitor opens the tab, but not by a link.
        votes: where votes are kept; without it none are asked for.
    """
    captioner, modality = tab.captioner, tab.modality
    doubts = {texts.name: texts.doubt for texts in tab.texts if texts.doubt}
    phrasebooks = {texts.name: texts.phrasebook for texts in tab.texts if texts.phrasebook}
    sessions = Sessions(captioner, modality, tab.max_comparisons, doubts, phrasebooks)
    defaults = captioner.defaults
    idle = sessions.idle()
    with gr.Row(elem_classes="workspace"):
        with gr.Column(min_width=260, elem_classes="source"):
            model = model_choice(modality.name, captioner)
            media = _picture() if modality == IMAGE else recorder()
            controls = None if modality == IMAGE else audio_controls()
            with gr.Row(elem_classes="actions"):
                compare = gr.Button(
                    InBrowser("Compare captions"), variant="primary", min_width=150, elem_id=f"{modality.name}-compare"
                )
                stop = gr.Button(
                    InBrowser("Stop"), interactive=False, min_width=88, scale=0, elem_id=f"{modality.name}-stop"
                )
            status = html(
                "",
                html_template='<p role="status">${value}</p>',
                js_on_load=_STATUS_JS + _FOCUS_JS + _KEYS_JS + retype_js(modality),
                elem_id=f"{modality.name}-status",
                elem_classes="status",
            )
            blind = blind_checkbox(modality.name) if votes is not None else None
            with gr.Accordion(InBrowser("Settings"), open=False, elem_id=f"{modality.name}-settings"):
                choice = column_choice(modality.name, captioner)
                settings = {**setting_sliders(modality.name, defaults), "columns": choice}
            names = choices_in([(spec.label, spec.id) for spec in columns_to_choose(captioner)])
            alt = {media: lambda texts: gr.update(alt_text=texts(_ALT))} if modality == IMAGE else {}
            translate_when_opened(page, {choice: names, **alt})
            settings |= {"model": model} if model else {}
        with gr.Column(min_width=260, elem_classes="results"):
            gallery = StaticHtml(
                lambda texts: gallery_texts(tab.examples, texts),
                html_template=gallery_template(tab.examples, opening=opening),
                js_on_load=_EXAMPLES_JS,
                visible=bool(tab.examples),
                elem_id=f"{modality.name}-examples",
                elem_classes="gallery",
            )
            if modality == AUDIO and tab.examples:
                connect_player(gallery, tab.examples)
            StaticHtml(lambda texts: f'<h2 class="sr-only">{texts("Captions")}</h2>')
            with gr.Row(elem_classes="board"):
                columns = {
                    spec.id: StaticHtml(
                        lambda texts, id=spec.id: sessions.idle(texts=texts).columns.get(id, ""),
                        visible=spec.id in idle.columns,
                        elem_classes=["cell", spec.method],
                    )
                    for spec in board_columns(captioner)
                }
            difference_switch(modality)
            finished = gr.State(None)
            build_after(sessions, tab.examples, finished, media.GRADIO_CACHE, blind, votes)
            history = history_strip(modality.name)
    StaticHtml(figures_note_html)
    diversity = html(idle.diversity)
    caption = your_caption(modality)
    panels = model_panels(captioner, tab.texts[0], modality)
    chosen = gr.State((0, ""))
    switch = ModelSwitch(sessions, settings, panels, tab.texts)
    components = Components(
        media, settings, compare, stop, status, gallery, columns, diversity, finished, history, chosen, switch, controls
    )
    connect(page, sessions, tab.examples, components)
    connect_redo(sessions, components)
    connect_history(sessions, components)
    connect_endpoint(sessions, components, fetch_urls)
    connect_your_caption(sessions, components, caption, fetch_urls)
    connect_after_endpoints(sessions, media.GRADIO_CACHE, fetch_urls, votes)
    return components


def _picture() -> gr.Image:
    return gr.Image(
        label=InBrowser("Your picture"),
        placeholder=InBrowser("Drop a picture here, paste one, or click to choose"),
        type="filepath",
        height=240,
        sources=["upload", "clipboard", "webcam"],
        webcam_options=gr.WebcamOptions(mirror=False),
        alt_text=_ALT,
        buttons=["fullscreen"],
        elem_id="image-media",
        elem_classes="media-input",
    )
