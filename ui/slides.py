"""The finished comparison as a slide: buttons under the columns, and ``/slide_image`` and ``/slide_audio``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import gradio as gr
from PIL import Image

from lora_mcl.errors import LoraMclError, OptionsError
from lora_mcl.images import load_image
from lora_mcl.report.slide import slide_of, spectrogram
from lora_mcl.report.slide_files import write_slide
from lora_mcl.types import Comparison
from ui.events import COMPARISON, session_of
from ui.failures import apologising
from ui.media_input import MediaInput
from ui.sessions import Finished, Sessions
from ui.texts.static import InBrowser
from ui.texts.texts import ENGLISH, Texts, texts_for
from ui.uploads import uploaded_file

KINDS = ("png", "svg")

_PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
# Of a file that the server has just made: Gradio's own button would need a second click.
_DOWNLOAD_JS = """
(file) => {
  if (!file) return [];
  const link = Object.assign(document.createElement('a'), {href: file.url, download: file.orig_name});
  link.click();
  return [];
}
"""


def slide_buttons(sessions: Sessions, finished: gr.State, folder: str) -> list[gr.Button]:
    """The buttons that download the comparison in ``finished`` as PNG and as SVG."""
    modality = sessions.modality
    made = gr.File(visible="hidden", elem_id=f"{modality.name}-slide-file", elem_classes="sr-only")
    buttons = []
    for kind in KINDS:
        button = gr.Button(
            InBrowser(f"Slide ({kind.upper()})"),
            size="sm",
            min_width=110,
            scale=0,
            elem_id=f"{modality.name}-slide-{kind}",
        )
        making = button.click(_maker(sessions, kind, folder), finished, made, concurrency_limit=2, **_PRIVATE)
        making.success(None, made, None, js=_DOWNLOAD_JS, **_PRIVATE)
        buttons.append(button)
    return buttons


def _maker(sessions: Sessions, kind: str, folder: str) -> Callable[[Finished | None, gr.Request], str]:
    def make(finished: Finished | None, request: gr.Request) -> str:
        texts = texts_for(request)
        if finished is None:
            raise gr.Error(texts("Compare captions first."), title=texts("Error"), print_exception=False)
        try:
            with apologising():
                return str(slide_file(sessions, finished.media, finished.comparison, kind, folder, texts))
        except LoraMclError as error:
            raise gr.Error(texts.error(error), title=texts("Error"), print_exception=False) from None

    return make


def slide_file(
    sessions: Sessions, media: Path, comparison: Comparison, kind: str, folder: str, texts: Texts = ENGLISH
) -> Path:
    """Write the slide into a folder of its own below ``folder``.

    Raises:
        OptionsError: ``kind`` is none of ``KINDS``.
        MediaError: the picture or sound is not there any more.
    """
    if kind not in KINDS:
        raise OptionsError(f"kind must be png or svg, not {kind!r}.")
    file = Path(mkdtemp(dir=folder)) / f"comparison.{kind}"
    write_slide(slide_of(comparison, _shown(sessions, media, comparison), texts), file)
    return file


def _shown(sessions: Sessions, media: Path, comparison: Comparison) -> Image.Image:
    """The picture, or the log-mel spectrogram of the model's input."""
    if comparison.window is None:
        return load_image(media)
    return spectrogram(sessions.audio_view(media, comparison.window.start).log_mel)


def connect_slide_endpoint(sessions: Sessions, folder: str, fetch_urls: bool) -> None:
    """Add the endpoint of a tab, inside the page's ``gr.Blocks``."""
    modality = sessions.modality

    def slide(media: Any, kind: Any, request: gr.Request) -> str:
        try:
            if kind not in KINDS:
                raise OptionsError(f"kind must be png or svg, not {kind!r}.")
            with apologising(), uploaded_file(media, modality, folder) as file:
                options = sessions.captioner.defaults
                *_, comparison = sessions.comparisons(file, options, session_of(request), stop_earlier=False)
                return str(slide_file(sessions, file, comparison, kind, folder))
        except LoraMclError as error:
            raise gr.Error(str(error), print_exception=False) from None

    noun = modality.noun
    slide.__name__ = f"slide_{modality.name}"
    slide.__doc__ = (
        f"Caption a {noun} with the model's recommended settings, and show the comparison on a slide, "
        "1920 x 1080.\n\n"
        f"Args:\n    media: the {noun}, as for /compare_{modality.name}.\n    kind: png or svg.\n\n"
        "Returns:\n    The slide as a file.\n"
    )
    gr.Button(visible=False).click(
        slide,
        [MediaInput(modality, fetch_urls), gr.Textbox("png", label="png or svg", visible=False)],
        gr.File(visible=False),
        api_name=f"slide_{modality.name}",
        **COMPARISON | {"concurrency_limit": sessions.max_comparisons},
    )
