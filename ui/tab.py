"""A tab of the page: one captioner, the medium it is given, and the columns in which it answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from lora_mcl.types import AudioCaptionSource, CaptionSource, CompareOptions
from ui.about import About, about_html, guide_html
from ui.audio_view import listening, log_mel_uri, recorder
from ui.endpoints import connect_endpoint
from ui.events import Parts, connect
from ui.examples import Example, Thumbnail, gallery_html, thumbnail_uri
from ui.html import html
from ui.modality import IMAGE, Medium
from ui.sessions import WRITING, Studio
from ui.settings import SETTINGS, upper_bound

_EXAMPLES_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button) trigger('click', {index: Number(button.dataset.index)});
});
"""

# On a phone the columns are far below the medium: go there when they begin to fill.
_STATUS_JS = f"""
watch('value', () => {{
  const board = element.closest('[role=tabpanel]').querySelector('.board');
  if (props.value === '{WRITING}' && board.getBoundingClientRect().top > innerHeight) board.scrollIntoView();
}});
"""


@dataclass(frozen=True)
class Desk:
    """What a tab is made of.

    Attributes:
        medium: what its captioner takes.
        examples: media to try, of that kind.
        about: what the captioner's model can and cannot do.
    """

    medium: Medium
    captioner: CaptionSource | AudioCaptionSource
    examples: tuple[Example, ...]
    about: About


def build_desk(page: gr.Blocks, desk: Desk) -> None:
    """Lay a desk out and wire it; to be called inside its tab. Its widgets' ids begin with the medium's name."""
    captioner, medium = desk.captioner, desk.medium
    studio = Studio(captioner, medium)
    # The sampling column too, which shows only where samples are asked for.
    defaults = captioner.defaults
    specs = captioner.columns(replace(defaults, num_samples=max(1, defaults.num_samples)))
    idle = studio.idle()
    with gr.Row(elem_classes="desk"):
        with gr.Column(min_width=300):
            media = _picture() if medium == IMAGE else recorder()
            listens = None if medium == IMAGE else listening()
            with gr.Row(elem_classes="actions"):
                go = gr.Button("Compare captions", variant="primary", elem_id=f"{medium.name}-compare")
                stop = gr.Button("Stop", interactive=False, min_width=90, scale=0, elem_id=f"{medium.name}-stop")
            status = html(
                "",
                html_template='<p role="status">${value}</p>',
                js_on_load=_STATUS_JS,
                elem_id=f"{medium.name}-status",
                elem_classes="status",
            )
            with gr.Accordion("Settings", open=False, elem_id=f"{medium.name}-settings"):
                settings = _sliders(medium, defaults)
        with gr.Column(min_width=300):
            gallery = html(
                gallery_html(desk.examples, _thumbnails(desk)),
                js_on_load=_EXAMPLES_JS,
                visible=bool(desk.examples),
                elem_id=f"{medium.name}-examples",
            )
            html(about_html(desk.about))
    with gr.Row(elem_classes="board"):
        columns = {
            spec.id: html(
                idle.columns.get(spec.id, ""), visible=spec.id in idle.columns, elem_classes=["cell", spec.method]
            )
            for spec in specs
        }
    diversity = html(idle.diversity)
    html(guide_html(specs, medium))
    parts = Parts(media, settings, go, stop, status, gallery, columns, diversity, listens)
    connect(page, studio, desk.examples, parts)
    connect_endpoint(studio, parts)


def _thumbnails(desk: Desk) -> list[Thumbnail]:
    """Pictures themselves or, of a sound, what the model hears of it."""
    if desk.medium == IMAGE:
        return [Thumbnail(thumbnail_uri(example.file)) for example in desk.examples]
    return [Thumbnail(log_mel_uri(desk.captioner.hear(example.file).log_mel), "log-mel") for example in desk.examples]


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
        elem_classes="medium",
    )


def _sliders(medium: Medium, defaults: CompareOptions) -> dict[str, Any]:
    return {
        setting.name: gr.Slider(
            setting.low,
            upper_bound(setting, defaults),
            value=getattr(defaults, setting.name),
            step=setting.step,
            label=setting.label,
            info=setting.info,
            elem_id=f"{medium.name}-{setting.name}",
        )
        for setting in SETTINGS
    }
