"""The API of a captioning tab: ``/compare_image`` or ``/compare_audio``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from lora_mcl.errors import LoraMclError
from ui.events import COMPARISON, Components, as_message, path_of, session_of
from ui.modality import AUDIO, IMAGE
from ui.sessions import Sessions
from ui.settings import SETTINGS, options_from

# First line of the documentation, and parameters besides the settings, by modality.
_SUMMARY = {
    IMAGE.name: "Caption a picture with every hypothesis, with beam search and with diverse beam search.",
    AUDIO.name: "Caption a sound with every hypothesis, with beam search and with diverse beam search.",
}
_MEDIA_PARAMETERS = {
    IMAGE.name: {"image": "the picture; JPEG, PNG, WEBP, GIF, BMP, TIFF or AVIF."},
    AUDIO.name: {
        "audio": "the sound; WAV, FLAC, OGG, MP3, M4A, WebM or similar, up to 10 minutes.",
        "start": "second at which the model's input begins; ``window`` in the answer is the part of the sound it got.",
    },
}
_RETURNS = "The comparison so far, again and again; the last one is complete."


def connect_endpoint(sessions: Sessions, components: Components) -> None:
    """Add the endpoint of a tab, inside the page's ``gr.Blocks``."""
    gr.Button(visible=False).click(
        _endpoint(sessions, components),
        components.inputs(),
        gr.JSON(visible=False),
        api_name=f"compare_{sessions.modality.name}",
        **COMPARISON,
    )


def _endpoint(sessions: Sessions, components: Components) -> Callable[..., Iterator[dict[str, Any]]]:
    """The function behind the endpoint, whose parameters and documentation Gradio publishes."""
    modality = sessions.modality.name
    parameters = {**_MEDIA_PARAMETERS[modality], **{setting.name: setting.documentation for setting in SETTINGS}}

    def compare(request: gr.Request, *values: Any) -> Iterator[dict[str, Any]]:
        chosen = dict(zip(parameters, values, strict=True))
        try:
            options = options_from(chosen, sessions.captioner.defaults)
            path = path_of(chosen[modality], sessions)
            for comparison in sessions.comparisons(path, options, session_of(request), chosen.get("start", 0)):
                yield comparison.to_dict()
        except LoraMclError as error:
            raise as_message(error) from None

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    compare.__name__ = f"compare_{modality}"
    compare.__signature__ = inspect.Signature(
        [inspect.Parameter(name, kind) for name in ("request", *parameters)],
    )
    documented = "\n".join(f"    {name}: {text}" for name, text in parameters.items())
    compare.__doc__ = f"{_SUMMARY[modality]}\n\nArgs:\n{documented}\n\nReturns:\n    {_RETURNS}\n"
    return compare
