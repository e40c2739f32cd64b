"""The API of a captioning tab: ``/compare_image`` or ``/compare_audio``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from lora_mcl.audio import MAX_SECONDS
from lora_mcl.audio_readers import AUDIO_FORMATS
from lora_mcl.errors import LoraMclError
from lora_mcl.images import IMAGE_FORMATS
from ui.events import COMPARISON, Components, session_of
from ui.failures import apologising
from ui.media_input import MediaInput
from ui.modality import AUDIO, IMAGE
from ui.models import SeveralCaptioners
from ui.pacing import API
from ui.sessions import Sessions
from ui.settings import COLUMNS_DOCUMENTATION, MODEL_DOCUMENTATION, SETTINGS, options_for
from ui.texts.static import documented
from ui.uploads import uploaded_file

# First line of the documentation, and the parameters other than settings, by modality.
_SUMMARY = {
    IMAGE.name: "Caption a picture with every hypothesis, with beam search and with diverse beam search.",
    AUDIO.name: "Caption a sound with every hypothesis, with beam search and with diverse beam search.",
}
_MEDIA_PARAMETERS = {
    IMAGE.name: {"image": f"the picture; {IMAGE_FORMATS}."},
    AUDIO.name: {
        "audio": f"the sound, or a video's; {AUDIO_FORMATS} or similar, up to {MAX_SECONDS // 60} minutes.",
        "start": "second at which the model's input begins, by default at the first sound; ``window`` in the answer "
        "is the part of the sound it got.",
    },
}
_RETURNS = "The comparison so far, again and again; the last one is complete."
# Parameters that the server chooses if they are left out, with their labels.
_CHOSEN = {"start": "Start in seconds", "num_beam_groups": "Groups"}


def connect_endpoint(sessions: Sessions, components: Components, fetch_urls: bool) -> None:
    """Add the endpoint of a tab, inside the page's ``gr.Blocks``."""
    modality = sessions.modality.name
    inputs = {
        modality: MediaInput(sessions.modality, fetch_urls),
        **{name: gr.Number(None, label=label, visible=False) for name, label in _CHOSEN.items()},
        **{name: documented(setting) for name, setting in components.settings.items() if name not in _CHOSEN},
    }
    parameters = _parameters(sessions)
    gr.Button(visible=False).click(
        _endpoint(sessions, components.folder),
        [inputs[name] for name in parameters],
        gr.JSON(visible=False),
        api_name=f"compare_{modality}",
        postprocess=False,  # it is JSON already
        **COMPARISON | {"concurrency_limit": sessions.max_comparisons},
    )


def _parameters(sessions: Sessions) -> dict[str, str]:
    """Documentation of each parameter, in their order."""
    settings = {setting.name: setting.documentation for setting in SETTINGS} | {"columns": COLUMNS_DOCUMENTATION}
    model = {"model": MODEL_DOCUMENTATION} if isinstance(sessions.captioner, SeveralCaptioners) else {}
    return {**_MEDIA_PARAMETERS[sessions.modality.name], **settings, **model}


def _endpoint(sessions: Sessions, folder: str) -> Callable[..., Iterator[dict[str, Any]]]:
    """The function behind the endpoint, whose parameters and documentation Gradio publishes."""
    modality = sessions.modality.name
    parameters = _parameters(sessions)

    def compare(request: gr.Request, *values: Any) -> Iterator[dict[str, Any]]:
        given = dict(zip(parameters, values, strict=True))
        try:
            options = options_for(given, sessions.captioner)
            with apologising(), uploaded_file(given[modality], sessions.modality, folder) as file:
                comparisons = sessions.comparisons(
                    file, options, session_of(request), given.get("start"), stop_earlier=False, rate=API
                )
                for comparison in comparisons:
                    yield comparison.to_dict()
        except LoraMclError as error:
            # As it is: a client, unlike Gradio's page, does not take messages for HTML.
            raise gr.Error(str(error), print_exception=False) from None

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    required = ("request", modality)
    compare.__name__ = f"compare_{modality}"
    # Where a component has a value, Gradio publishes that as the default.
    compare.__signature__ = inspect.Signature(
        [
            *(inspect.Parameter(name, kind) for name in required),
            *(inspect.Parameter(name, kind, default=None) for name in parameters if name not in required),
        ]
    )
    documented = "\n".join(f"    {name}: {text}" for name, text in parameters.items())
    compare.__doc__ = f"{_SUMMARY[modality]}\n\nArgs:\n{documented}\n\nReturns:\n    {_RETURNS}\n"
    return compare
