"""Serve the page::

    python app.py [--image-model BUNDLE] [--host HOST] [--port PORT]

The same by environment, for hosted Spaces: LORA_MCL_IMAGE_MODEL, LORA_MCL_HOST (or GRADIO_SERVER_NAME),
LORA_MCL_PORT (or PORT, or GRADIO_SERVER_PORT). Arguments win. With the embedded model nothing is fetched.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from lora_mcl.bundle import EMBEDDED_BUNDLE
from lora_mcl.captioner import Captioner
from lora_mcl.errors import LoraMclError
from ui.about import About, about_bundle, about_embedded
from ui.desk import Desk
from ui.events import QUEUE_SIZE
from ui.examples import Example, load_examples
from ui.medium import IMAGE
from ui.page import build_page
from ui.theme import STYLE, studio_theme

ROOT = Path(__file__).resolve().parent
EXAMPLES = ROOT / "assets" / "examples" / "image"
RESULTS = ROOT / "assets" / "results" / "image.json"
MAX_FILE_SIZE = "15mb"
USER_ERROR = 2


@dataclass(frozen=True)
class Settings:
    """What to serve (``image_model``: a bundle folder or Hub id) and where; port None takes a free one."""

    image_model: str
    host: str
    port: int | None


def settings_from(arguments: Sequence[str] | None, environment: Mapping[str, str]) -> Settings:
    """Settings from the command line, then the environment, then defaults; exits on a bad argument."""

    def first(*names: str) -> str | None:
        return next((environment[name] for name in names if environment.get(name)), None)

    parser = argparse.ArgumentParser(prog="app.py", description="Serve the LoRA-MCL Studio page.")
    parser.add_argument(
        "--image-model",
        metavar="BUNDLE",
        default=first("LORA_MCL_IMAGE_MODEL") or str(EMBEDDED_BUNDLE),
        help="bundle folder or Hub id; the embedded image bundle by default",
    )
    parser.add_argument(
        "--host",
        default=first("LORA_MCL_HOST", "GRADIO_SERVER_NAME") or "127.0.0.1",
        help="address to listen on; 0.0.0.0 for every network (default 127.0.0.1)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=first("LORA_MCL_PORT", "PORT", "GRADIO_SERVER_PORT"),
        help="port to listen on (default: the first free one from 7860)",
    )
    given = parser.parse_args(arguments)
    return Settings(given.image_model, given.host, given.port)


def about(captioner: Captioner) -> About:
    """The page's note on what the loaded model can and cannot do."""
    bundle = captioner.bundle
    if bundle.folder.resolve() == EMBEDDED_BUNDLE:
        return about_embedded(bundle.training, RESULTS)
    return about_bundle(bundle.name)


def launch(page: gr.Blocks, examples: tuple[Example, ...], host: str, port: int | None) -> str:
    """Serve the page and return its address; everything that would call out to the network is off."""
    page.queue(max_size=QUEUE_SIZE)
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        theme=studio_theme(),
        css_paths=STYLE,
        max_file_size=MAX_FILE_SIZE,
        allowed_paths=sorted({str(example.file.parent) for example in examples}),
        footer_links=["api"],
        # Visitors' pictures are nobody's history, and there is nothing to watch for strangers.
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
    )
    return address


def main(arguments: Sequence[str] | None = None) -> int:
    """Load the model and serve until interrupted; 2 when the model or an address cannot be used."""
    settings = settings_from(arguments, os.environ)
    try:
        captioner = Captioner.load(settings.image_model)
    except LoraMclError as error:
        print(f"app.py: {error}", file=sys.stderr)
        return USER_ERROR
    examples = load_examples(EXAMPLES)
    page = build_page([Desk(IMAGE, captioner, examples, about(captioner))])
    try:
        address = launch(page, examples, settings.host, settings.port)
    except OSError as error:
        print(f"app.py: cannot serve on {settings.host}, port {settings.port}: {error}", file=sys.stderr)
        return USER_ERROR
    print(f"LoRA-MCL Studio is at {address}", flush=True)
    page.block_thread()
    return 0


if __name__ == "__main__":
    sys.exit(main())
