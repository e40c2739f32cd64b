"""A captioning tab of the page: input, settings, and one column per way of decoding."""

from __future__ import annotations

from dataclasses import dataclass, replace

import gradio as gr

from lora_mcl.types import AudioCaptionSource, CaptionSource
from ui.audio_view import audio_controls, recorder
from ui.difference_switch import difference_switch
from ui.endpoints import connect_endpoint
from ui.events import MAX_COMPARISONS, Components, connect
from ui.examples import Example, gallery_html
from ui.header import guide_html
from ui.html import html
from ui.modality import IMAGE, ModalityText
from ui.model_info import ModelInfo, model_info_html
from ui.sessions import WRITING, Sessions
from ui.sliders import setting_sliders
from ui.uploads import retype_js
from ui.your_caption import connect_your_caption, your_caption

_EXAMPLES_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button) trigger('click', {index: Number(button.dataset.index)});
});
"""

# On a phone the columns are far below the input: scroll to them when they begin to fill.
_STATUS_JS = f"""
watch('value', () => {{
  const board = element.closest('[role=tabpanel]').querySelector('.board');
  if (props.value === '{WRITING}' && board.getBoundingClientRect().top > innerHeight) board.scrollIntoView();
}});
"""


@dataclass(frozen=True)
class Tab:
    """One captioning tab.

    Attributes:
        modality: what its captioner takes.
        examples: media to try, of that kind.
        info: what the captioner's model can and cannot do.
        max_comparisons: how many run at a time; the others wait in the queue. The least of all tabs counts.
    """

    modality: ModalityText
    captioner: CaptionSource | AudioCaptionSource
    examples: tuple[Example, ...]
    info: ModelInfo
    max_comparisons: int = MAX_COMPARISONS


def build_tab(page: gr.Blocks, tab: Tab, fetch_urls: bool = False) -> None:
    """Build a tab's components and events, inside its ``gr.Tab``; element ids begin with the modality's name."""
    captioner, modality = tab.captioner, tab.modality
    sessions = Sessions(captioner, modality, tab.max_comparisons)
    # With the sampling column, which is visible only if num_samples is above 0.
    defaults = captioner.defaults
    specs = captioner.columns(replace(defaults, num_samples=max(1, defaults.num_samples)))
    idle = sessions.idle()
    with gr.Row(elem_classes="inputs"):
        with gr.Column(min_width=300):
            media = _picture() if modality == IMAGE else recorder()
            controls = None if modality == IMAGE else audio_controls()
            with gr.Row(elem_classes="actions"):
                compare = gr.Button("Compare captions", variant="primary", elem_id=f"{modality.name}-compare")
                stop = gr.Button("Stop", interactive=False, min_width=90, scale=0, elem_id=f"{modality.name}-stop")
            status = html(
                "",
                html_template='<p role="status">${value}</p>',
                js_on_load=_STATUS_JS + retype_js(modality),
                elem_id=f"{modality.name}-status",
                elem_classes="status",
            )
            with gr.Accordion("Settings", open=False, elem_id=f"{modality.name}-settings"):
                settings = setting_sliders(modality.name, defaults)
        with gr.Column(min_width=300):
            gallery = html(
                gallery_html(tab.examples),
                js_on_load=_EXAMPLES_JS,
                visible=bool(tab.examples),
                elem_id=f"{modality.name}-examples",
            )
            html(model_info_html(tab.info))
    difference_switch(modality)
    with gr.Row(elem_classes="board"):
        columns = {
            spec.id: html(
                idle.columns.get(spec.id, ""), visible=spec.id in idle.columns, elem_classes=["cell", spec.method]
            )
            for spec in specs
        }
    diversity = html(idle.diversity)
    caption = your_caption(modality)
    html(guide_html(specs, modality))
    components = Components(media, settings, compare, stop, status, gallery, columns, diversity, controls)
    connect(page, sessions, tab.examples, components)
    connect_endpoint(sessions, components, fetch_urls)
    connect_your_caption(sessions, components, caption, fetch_urls)


def _picture() -> gr.Image:
    return gr.Image(
        label="Your picture",
        placeholder="Drop a picture here, paste one, or click to choose",
        type="filepath",
        height=280,
        sources=["upload", "clipboard", "webcam"],
        webcam_options=gr.WebcamOptions(mirror=False),
        alt_text="The picture to be captioned",
        buttons=["fullscreen"],
        elem_id="image-media",
        elem_classes="media-input",
    )
