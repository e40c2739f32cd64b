"""The Gradio page: what is on it and where."""

from __future__ import annotations

from typing import Any

import gradio as gr

from lora_mcl.results import CaptionSource, CompareOptions
from ui.about import About, about_html, guide_html, header_html
from ui.events import Parts, connect, connect_endpoint
from ui.examples import Example, gallery_html
from ui.settings import SETTINGS, upper_bound
from ui.studio import WRITING, Studio

# Uploads are deleted when they are this old, looked for this often; in seconds.
UPLOAD_AGE, UPLOAD_CHECK = 3600, 600

_EXAMPLES_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button) trigger('click', {index: Number(button.dataset.index)});
});
"""

# On a phone the columns are far below the picture: go there when they begin to fill.
_STATUS_JS = f"""
watch('value', () => {{
  const board = document.querySelector('.board');
  if (props.value === '{WRITING}' && board.getBoundingClientRect().top > innerHeight) board.scrollIntoView();
}});
"""


def build_page(captioner: CaptionSource, examples: tuple[Example, ...], about: About) -> gr.Blocks:
    """The page for one captioner, with a column for each of ``captioner.columns()``."""
    studio = Studio(captioner)
    specs = captioner.columns()
    idle = studio.idle()
    with gr.Blocks(title="LoRA-MCL Studio", analytics_enabled=False, delete_cache=(UPLOAD_CHECK, UPLOAD_AGE)) as page:
        _html(header_html(sum(spec.method == "hypothesis" for spec in specs)))
        with gr.Row(elem_classes="desk"):
            with gr.Column(min_width=300):
                picture = _picture()
                with gr.Row(elem_classes="actions"):
                    go = gr.Button("Compare captions", variant="primary", elem_id="compare")
                    stop = gr.Button("Stop", interactive=False, min_width=90, scale=0, elem_id="stop")
                status = _html(
                    "",
                    html_template='<p role="status">${value}</p>',
                    js_on_load=_STATUS_JS,
                    elem_id="status",
                )
                with gr.Accordion("Settings", open=False, elem_id="settings"):
                    settings = _sliders(captioner.defaults)
            with gr.Column(min_width=300):
                gallery = _html(
                    gallery_html(examples),
                    js_on_load=_EXAMPLES_JS,
                    visible=bool(examples),
                    elem_id="examples",
                )
                _html(about_html(about))
        with gr.Row(elem_classes="board"):
            columns = {spec.id: _html(idle.columns[spec.id], elem_classes=["cell", spec.method]) for spec in specs}
        diversity = _html(idle.diversity)
        _html(guide_html(specs))
        parts = Parts(picture, settings, go, stop, status, gallery, columns, diversity)
        connect(page, studio, examples, parts)
        connect_endpoint(studio, parts)
    return page


def _html(value: str, **kwargs: Any) -> gr.HTML:
    """HTML with none of Gradio's own text styles, and no script unless given one."""
    return gr.HTML(value, **{"apply_default_css": False, "js_on_load": None, **kwargs})


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
        elem_id="picture",
    )


def _sliders(defaults: CompareOptions) -> dict[str, gr.Slider]:
    return {
        setting.name: gr.Slider(
            setting.low,
            upper_bound(setting, defaults),
            value=getattr(defaults, setting.name),
            step=setting.step,
            label=setting.label,
            info=setting.info,
            elem_id=setting.name,
        )
        for setting in SETTINGS
    }
