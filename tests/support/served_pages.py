"""The page with fake captioners, served for a test."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from lora_mcl.types import AudioCaptionSource, CaptionSource
from tests.support.fake_captioner import FakeAudioCaptioner, FakeCaptioner
from ui.examples import PageExample, load_examples
from ui.modality import AUDIO, IMAGE
from ui.model_info import ModelInfo
from ui.page import build_page
from ui.server import ServerOptions, launch
from ui.tab import Tab

INFO = ModelInfo(can="It counts.", cannot="It does not sing.")


def image_tab(captioner: CaptionSource | None = None, examples: Sequence[PageExample] = (), **fields: Any) -> Tab:
    """The tab of an image captioner; a fake one if none is named."""
    return Tab(IMAGE, captioner or FakeCaptioner(), tuple(examples), **({"info": INFO} | fields))


def audio_tab(captioner: AudioCaptionSource | None = None, examples: Sequence[PageExample] = (), **fields: Any) -> Tab:
    """The tab of an audio captioner; a fake one if none is named."""
    return Tab(AUDIO, captioner or FakeAudioCaptioner(), tuple(examples), **({"info": INFO} | fields))


@contextmanager
def served(tabs: Sequence[Tab], server: ServerOptions | None = None, **options: Any) -> Iterator[gr.Blocks]:
    """The page of these tabs while it is served, at its ``local_url``; ``options`` are those of ``build_page``."""
    page = build_page(tabs, **options)
    try:
        launch(page, tabs, server)
        yield page
    finally:
        page.close(verbose=False)


def picture_examples(folder: Path) -> tuple[PageExample, ...]:
    """Two pictures of one colour each, with the alternative texts "Only Sea" and "Only Sand"."""
    files = []
    for title, colour in (("Sea", "teal"), ("Sand", "goldenrod")):
        files.append(folder / f"{title}.png")
        Image.new("RGB", (90, 60), colour).save(files[-1])
    return listed_examples(files, "Only {}")


def listed_examples(files: Sequence[Path], alt: str) -> tuple[PageExample, ...]:
    """Files of one folder as examples: the title is a file's stem, ``alt`` the alternative text of the title."""
    entries = [{"file": file.name, "title": file.stem, "alt": alt.format(file.stem), "credit": "Us"} for file in files]
    (files[0].parent / "examples.json").write_text(json.dumps(entries))
    return load_examples(files[0].parent)
