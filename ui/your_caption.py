"""Your caption: a visitor's caption of the tab's medium, scored by every hypothesis; also as an endpoint."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from lora_mcl.errors import LoraMclError
from lora_mcl.phrases import Phrase
from lora_mcl.scores import CaptionScore
from ui.events import Components
from ui.failures import apologising
from ui.html import html
from ui.media_input import MediaInput
from ui.modality import AUDIO, ModalityText
from ui.models import SeveralCaptioners
from ui.score_view import refusal_html, score_html
from ui.sessions import Sessions
from ui.settings import MODEL_DOCUMENTATION
from ui.texts.static import InBrowser, documented
from ui.texts.texts import texts_for
from ui.uploads import uploaded_file

# A score is one forward: it does not wait for the comparisons' turns.
_SCORING = {"concurrency_limit": 2, "concurrency_id": "scoring", "preprocess": False}
_PRIVATE = {"api_visibility": "private"}
# More than the library takes, which refuses it with a message.
_MAX_CHARACTERS = 20_000

_PARAMETERS = {
    "image": "the picture; JPEG, PNG, WEBP, GIF, BMP, TIFF or AVIF.",
    "audio": "the sound, or a video's; WAV, FLAC, OGG, MP3, M4A, WebM, MP4 or similar, up to 10 minutes.",
    "caption": "the caption to score, in any language; at most 255 tokens.",
    "model": MODEL_DOCUMENTATION,
    "start": "second at which the model's input begins, by default at the first sound.",
}
_RETURNS = (
    "``tokens``: the caption's tokens, the empty last one is its end mark; ``systems``: id, label, ``nll``, "
    "``mean_nll`` and ``log_probs`` (one for each token, in nats) of each hypothesis and of the baseline; ``winner``: "
    "id of the hypothesis under which the caption is likeliest; ``margin`` and ``mean_margin``: its distance from the "
    "next one, in nats and per token; ``unknown``: characters that the vocabulary lacks."
)


@dataclass(frozen=True)
class YourCaption:
    """The panel's components."""

    text: gr.Textbox
    button: gr.Button
    result: gr.HTML


def your_caption(modality: ModalityText) -> YourCaption:
    """The panel, empty."""
    name = modality.name
    with gr.Accordion(
        InBrowser("Your caption: which hypothesis would win it?"), open=False, elem_id=f"{name}-your-caption"
    ):
        with gr.Row(elem_classes="actions your-caption"):
            text = gr.Textbox(
                label=InBrowser("Your caption"),
                info=InBrowser(
                    Phrase(
                        "Type or paste a sentence about your {noun}, in any language, with a capital and a full stop "
                        "as above",
                        noun=Phrase(modality.noun),
                    )
                ),
                max_lines=4,
                max_length=_MAX_CHARACTERS,
                elem_id=f"{name}-caption",
            )
            button = gr.Button(InBrowser("Score"), min_width=90, scale=0, elem_id=f"{name}-score")
        result = html("", elem_id=f"{name}-scored")
    return YourCaption(text, button, result)


def connect_your_caption(sessions: Sessions, components: Components, panel: YourCaption, fetch_urls: bool) -> None:
    """Wire the panel and add the tab's scoring endpoint, inside the page's ``gr.Blocks``."""
    modality, folder = sessions.modality, components.folder
    starts = [components.audio_controls.start] if components.audio_controls else []

    models = [components.settings["model"]] if components.switch.several else []
    names = ["media", "caption", *(["start"] if starts else []), *(["model"] if models else [])]

    def show(request: gr.Request, *values: Any) -> str:
        texts = texts_for(request)
        try:
            return score_html(_score(sessions, folder, **dict(zip(names, values, strict=True))), texts)
        except LoraMclError as error:
            return refusal_html(texts.error(error))

    gr.on(
        [panel.button.click, panel.text.submit],
        show,
        [components.media, panel.text, *starts, *models],
        panel.result,
        show_progress_on=panel.result,
        trigger_mode="once",
        **_SCORING,
        **_PRIVATE,
    )
    # Of another picture or sound, another part of it, or another model, the score shown is not.
    changes = [components.media.change, *(part.change for part in (*starts, *models))]
    gr.on(changes, lambda: "", None, panel.result, queue=False, show_progress="hidden", **_PRIVATE)

    start_input = [gr.Number(None, label="Start in seconds", visible=False)] if modality == AUDIO else []
    gr.Button(visible=False).click(
        _endpoint(sessions, folder),
        [
            MediaInput(modality, fetch_urls),
            gr.Textbox(visible=False, label="Caption"),
            *start_input,
            *map(documented, models),
        ],
        gr.JSON(visible=False),
        api_name=f"score_{modality.name}",
        **_SCORING,
    )


def _score(
    sessions: Sessions, folder: str, media: Any, caption: Any, start: Any = None, model: str | None = None
) -> CaptionScore:
    captioner = sessions.captioner
    if model is not None and isinstance(captioner, SeveralCaptioners):
        captioner = captioner.named(model)
    with apologising(), uploaded_file(media, sessions.modality, folder) as file:
        return captioner.score(file, caption, start=start)


def _endpoint(sessions: Sessions, folder: str) -> Callable[..., dict[str, Any]]:
    """The function behind the endpoint, whose parameters and documentation Gradio publishes."""
    modality = sessions.modality
    names = [modality.name, "caption", *(["start"] if modality == AUDIO else [])]
    names += ["model"] if isinstance(sessions.captioner, SeveralCaptioners) else []

    def score(*values: Any) -> dict[str, Any]:
        given = dict(zip(names, values, strict=True))
        try:
            return _score(sessions, folder, given.pop(modality.name), **given).to_dict()
        except LoraMclError as error:
            raise gr.Error(str(error), print_exception=False) from None

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    score.__name__ = f"score_{modality.name}"
    score.__signature__ = inspect.Signature(
        [inspect.Parameter(name, kind, **({"default": None} if name in ("start", "model") else {})) for name in names]
    )
    documented = "\n".join(f"    {name}: {_PARAMETERS[name]}" for name in names)
    score.__doc__ = (
        f"Score a caption of a {modality.noun}: its log-probability under every hypothesis and the baseline, and which "
        f"hypothesis wins it.\n\nArgs:\n{documented}\n\nReturns:\n    {_RETURNS}\n"
    )
    return score
