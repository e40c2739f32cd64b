"""Serve the page::

    python app.py [--image-model BUNDLE] [--audio-model BUNDLE] [--host HOST] [--port PORT]

The same by environment, for hosted Spaces: LORA_MCL_IMAGE_MODEL, LORA_MCL_AUDIO_MODEL, LORA_MCL_HOST (or
GRADIO_SERVER_NAME), LORA_MCL_PORT (or PORT, or GRADIO_SERVER_PORT), and LORA_MCL_ with any other option's name, such
as LORA_MCL_DTYPE=float16 or LORA_MCL_LOAD_IN_4BIT=1. Arguments win. With the embedded models nothing is fetched.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import gradio as gr
import torch

from lora_mcl.audio import warm_up
from lora_mcl.bundle.bundle import BUNDLE_FILE, EMBEDDED_AUDIO_BUNDLE, EMBEDDED_BUNDLE, load_bundle
from lora_mcl.captioner import Captioner
from lora_mcl.decoding.options import Acceleration
from lora_mcl.errors import BundleError, LoraMclError, OptionsError
from ui.events import QUEUE_SIZE
from ui.examples import load_examples
from ui.markov_runs import load_demos
from ui.modality import AUDIO, IMAGE, ModalityText
from ui.model_info import ModelInfo, bundle_info, embedded_info
from ui.page import build_page
from ui.tab import Tab
from ui.theme import STYLE, page_theme
from ui.uploads import MAX_FILE_SIZE
from ui.zero_gpu import Lease, ZeroGpuCaptioner

ROOT = Path(__file__).resolve().parent
EXAMPLES = ROOT / "assets" / "examples"
RESULTS = ROOT / "assets" / "results"
# In place of a bundle: this modality gets no tab.
NO_MODEL = "none"
USER_ERROR = 2

# Options of which the command line's form is all there is; in the environment they are LORA_MCL_<NAME>.
_BY_NAME = ("dtype", "device-map", "load-in-4bit", "acceleration", "lease-start", "lease-per-token")
_SWITCHES = {"1": "--", "true": "--", "0": "--no-", "false": "--no-"}


@dataclass(frozen=True)
class Settings:
    """What to serve (a bundle folder or Hub id for each modality, or None) and where; port None takes a free one.

    ``dtype``, ``device_map``, ``load_in_4bit``, ``acceleration`` are for bundles that do not come with the repository;
    ``lease`` is for ZeroGPU.
    """

    image_model: str | None
    audio_model: str | None
    host: str
    port: int | None
    dtype: str | None = None
    device_map: str | None = None
    load_in_4bit: bool = False
    acceleration: Acceleration = "off"
    lease: Lease = field(default_factory=Lease)


def settings_from(arguments: Sequence[str] | None, environment: Mapping[str, str]) -> Settings:
    """Settings from the command line, then the environment, then defaults; exits on a bad argument."""

    def first(*names: str) -> str | None:
        return next((environment[name] for name in names if environment.get(name)), None)

    parser = argparse.ArgumentParser(prog="app.py", description="Serve the LoRA-MCL Studio page.")
    parser.add_argument(
        "--image-model",
        metavar="BUNDLE",
        default=first("LORA_MCL_IMAGE_MODEL") or str(EMBEDDED_BUNDLE),
        help=f"bundle folder or Hub id, or {NO_MODEL}; the embedded image bundle by default",
    )
    parser.add_argument(
        "--audio-model",
        metavar="BUNDLE",
        default=first("LORA_MCL_AUDIO_MODEL")
        or (str(EMBEDDED_AUDIO_BUNDLE) if (EMBEDDED_AUDIO_BUNDLE / BUNDLE_FILE).is_file() else NO_MODEL),
        help=f"bundle folder or Hub id, or {NO_MODEL}; the embedded audio bundle by default, where there is one",
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
    large = parser.add_argument_group("large models", "how bundles that do not come with the repository are held")
    large.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="of the base model's weights")
    large.add_argument("--device-map", metavar="MAP", help="auto spreads the model over several GPUs")
    large.add_argument(
        "--load-in-4bit",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="language model in 4 bits (needs bitsandbytes)",
    )
    large.add_argument(
        "--acceleration",
        choices=get_args(Acceleration),
        default="off",
        help="on a GPU, run steps as CUDA graphs, or compile them first (default off)",
    )
    lease = Lease()
    zero_gpu = parser.add_argument_group("ZeroGPU", "how many seconds of a GPU a comparison requests (app_zero_gpu.py)")
    zero_gpu.add_argument("--lease-start", type=float, default=lease.start, metavar="SECONDS", help="before any token")
    zero_gpu.add_argument("--lease-per-token", type=float, default=lease.per_token, metavar="SECONDS", help="for each")
    arguments = sys.argv[1:] if arguments is None else arguments
    # The environment's options come first, so that the command line's win; both are checked alike.
    args = vars(parser.parse_args([*_environment_arguments(environment, parser), *arguments]))
    try:
        args["lease"] = Lease(args.pop("lease_start"), args.pop("lease_per_token"))
    except OptionsError as error:
        parser.error(str(error))
    for name in ("image_model", "audio_model"):
        args[name] = None if args[name] == NO_MODEL else args[name]
    if args["image_model"] is None and args["audio_model"] is None:
        parser.error("there is nothing to serve without --image-model and --audio-model")
    return Settings(**args)


def _environment_arguments(environment: Mapping[str, str], parser: argparse.ArgumentParser) -> list[str]:
    """The options ``_BY_NAME`` that the environment sets, as arguments."""
    arguments = []
    for option in _BY_NAME:
        name = f"LORA_MCL_{option.upper().replace('-', '_')}"
        value = environment.get(name)
        if not value:
            continue
        if option != "load-in-4bit":
            arguments.append(f"--{option}={value}")
        elif value.lower() in _SWITCHES:
            arguments.append(f"{_SWITCHES[value.lower()]}{option}")
        else:
            parser.error(f"{name} must be 1 or 0, not {value!r}")
    return arguments


def load_tabs(settings: Settings, gpu: Callable[..., Any] | None = None) -> list[Tab]:
    """Load each modality's captioner and examples.

    Args:
        gpu: ``spaces.GPU``, where comparisons borrow a GPU from ZeroGPU.

    Raises:
        BundleError: a bundle cannot be loaded, or is one for the other modality.
    """
    sources = ((IMAGE, settings.image_model), (AUDIO, settings.audio_model))
    return [_load_tab(modality, source, settings, gpu) for modality, source in sources if source is not None]


def _load_tab(modality: ModalityText, source: str, settings: Settings, gpu: Callable[..., Any] | None) -> Tab:
    bundle = load_bundle(source)
    if bundle.modality != modality.name:
        raise BundleError(f"{bundle.name} is no bundle for --{modality.name}-model: its modality is {bundle.modality}.")
    loading: dict[str, Any] = {}
    if bundle.folder.resolve() not in (EMBEDDED_BUNDLE, EMBEDDED_AUDIO_BUNDLE):
        dtype = None if settings.dtype is None else getattr(torch, settings.dtype)
        loading = {
            "dtype": dtype,
            "device_map": settings.device_map,
            "load_in_4bit": settings.load_in_4bit,
            "acceleration": settings.acceleration,
        }
    captioner = Captioner.load(bundle, **loading)
    source_captioner = captioner if gpu is None else ZeroGpuCaptioner(captioner, modality, gpu, settings.lease)
    return Tab(modality, source_captioner, load_examples(EXAMPLES / modality.name), model_info(captioner))


def model_info(captioner: Captioner) -> ModelInfo:
    """What the loaded model can and cannot do."""
    bundle = captioner.bundle
    if bundle.folder.resolve() == EMBEDDED_BUNDLE:
        return embedded_info(IMAGE, bundle.training, RESULTS / "image.json")
    if bundle.folder.resolve() == EMBEDDED_AUDIO_BUNDLE:
        return embedded_info(AUDIO, bundle.training, RESULTS / "audio.json")
    return bundle_info(bundle.name)


def launch(page: gr.Blocks, tabs: Sequence[Tab], host: str, port: int | None) -> str:
    """Serve the page and return its address; everything that would call out to the network is off."""
    page.queue(max_size=QUEUE_SIZE)
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        theme=page_theme(),
        css_paths=STYLE,
        max_file_size=MAX_FILE_SIZE,
        allowed_paths=sorted({str(example.file.parent) for tab in tabs for example in tab.examples}),
        footer_links=["api"],
        # Visitors' pictures and recordings are nobody's history, and there is nothing to watch for strangers.
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
    )
    return address


def main(arguments: Sequence[str] | None = None, gpu: Callable[..., Any] | None = None) -> int:
    """Load the model and serve until interrupted; 2 when the model or an address cannot be used."""
    settings = settings_from(arguments, os.environ)
    try:
        tabs = load_tabs(settings, gpu)
        page = build_page(tabs, load_demos(RESULTS / "markov"))
    except LoraMclError as error:
        print(f"app.py: {error}", file=sys.stderr)
        return USER_ERROR
    try:
        address = launch(page, tabs, settings.host, settings.port)
    except OSError as error:
        print(f"app.py: cannot serve on {settings.host}, port {settings.port}: {error}", file=sys.stderr)
        return USER_ERROR
    print(f"LoRA-MCL Studio is at {address}", flush=True)
    if settings.audio_model is not None:
        warm_up()  # after the first byte: the resampler takes seconds to import
    page.block_thread()
    return 0


if __name__ == "__main__":
    sys.exit(main())
