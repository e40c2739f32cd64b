"""The API of the Batch tab: ``/caption_files``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gradio as gr

from lora_mcl.errors import LoraMclError
from lora_mcl.report.tables import entry_dict
from ui.batch_run import Progress
from ui.failures import apologising
from ui.media_input import FilesInput
from ui.settings import SETTINGS
from ui.texts.static import documented

_DOCUMENTATION = """Caption up to 50 pictures and sounds, or zip archives of them, in every column.

Args:
{parameters}

Returns:
    The batch so far, after every file: ``done`` and ``total`` files, ``seconds_left`` (null before the first file), and
    ``files``, one object for each file that is finished: its name as ``file``, and either the comparison as the
    endpoints for one file return it, with its ``settings``, or ``error``, a sentence.
"""


def connect_batch_endpoint(
    progress: Callable[..., Iterator[Progress]],
    files: FilesInput,
    settings: Mapping[str, gr.Slider],
    folder: str,
    concurrency: Mapping[str, Any],
) -> None:
    """Add the endpoint, inside the page's ``gr.Blocks``; ``progress`` captions uploads with a client's settings."""
    groups = gr.Number(None, label="Groups", visible=False)
    sliders = {name: documented(slider) for name, slider in settings.items()}
    inputs = [files, *({**sliders, "num_beam_groups": groups}[setting.name] for setting in SETTINGS)]
    gr.Button(visible=False).click(
        _endpoint(progress, folder), inputs, gr.JSON(visible=False), api_name="caption_files", **concurrency
    )


def _endpoint(progress: Callable[..., Iterator[Progress]], folder: str) -> Callable[..., Iterator[dict[str, Any]]]:
    def caption_files(files: Any, *values: Any) -> Iterator[dict[str, Any]]:
        given = dict(zip((setting.name for setting in SETTINGS), values, strict=True))
        try:
            with apologising():
                for state in progress(given, files, folder):
                    yield _progress_dict(state)
        except LoraMclError as error:
            raise gr.Error(str(error), print_exception=False) from None

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    caption_files.__signature__ = inspect.Signature(
        [
            inspect.Parameter("files", kind),
            *(inspect.Parameter(setting.name, kind, default=None) for setting in SETTINGS),
        ]
    )
    documented = "\n".join(f"    {setting.name}: {setting.documentation}" for setting in SETTINGS)
    caption_files.__doc__ = _DOCUMENTATION.format(parameters=f"    files: the files, a list.\n{documented}")
    return caption_files


def _progress_dict(progress: Progress) -> dict[str, Any]:
    entries = sorted(progress.entries, key=lambda pair: pair[0])
    return {
        "done": progress.done,
        "total": progress.total,
        "seconds_left": progress.seconds_left,
        "files": [entry_dict(entry) for _, entry in entries],
    }
