"""The page as an ASGI application that captions by the replicas of the other applications."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fastapi import FastAPI
from ray import serve

from deploy.serve.remote import RemoteCaptioner
from ui.examples import load_examples
from ui.markov_runs import load_demos
from ui.modality import AUDIO, IMAGE
from ui.model_info import info_of
from ui.page import build_page
from ui.results import load_results
from ui.server import ServerOptions, mounted
from ui.tab import Tab

ASSETS = Path(__file__).resolve().parents[2] / "assets"


def page_asgi(modalities: tuple[str, ...], fetch_urls: bool, root_path: str) -> FastAPI:
    """The page with a tab for each modality; its captioner is the application of that name."""
    # For uploads, as ``app.py`` has one; deleted with the container or by the system.
    os.environ.setdefault("GRADIO_TEMP_DIR", tempfile.mkdtemp(prefix="lora-mcl-uploads-"))
    tabs = []
    for modality in (IMAGE, AUDIO):
        if modality.name in modalities:
            captioner = RemoteCaptioner(serve.get_app_handle(modality.name))
            examples = load_examples(ASSETS / "examples" / modality.name)
            tabs.append(Tab(modality, captioner, examples, info_of(captioner.bundle, ASSETS / "results")))
    demos, results = load_demos(ASSETS / "results" / "markov"), load_results(ASSETS / "results")
    page = build_page(tabs, demos, results=results, fetch_urls=fetch_urls, opening=True)
    return mounted(page, tabs, ServerOptions(root_path=root_path))
