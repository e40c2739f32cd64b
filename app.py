"""Serve the page::

    python app.py [--image-model BUNDLE] [--audio-model BUNDLE] [--more-models BUNDLE,...] [--host HOST] [--port PORT]

The same by environment, for hosted Spaces: LORA_MCL_IMAGE_MODEL, LORA_MCL_AUDIO_MODEL, LORA_MCL_HOST (or
GRADIO_SERVER_NAME), LORA_MCL_PORT (or PORT, or GRADIO_SERVER_PORT), and LORA_MCL_ with any other option's name, such
as LORA_MCL_DTYPE=float16 or LORA_MCL_LOAD_IN_4BIT=1. Arguments win. With the embedded models nothing is fetched.
A proxy, passwords, MCP: docs/serving.md.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, get_args

from ui.temporary import VARIABLE, temporary_folder

# Before Gradio is imported, which keeps the name that it finds then.
os.environ[VARIABLE] = temporary_folder(os.environ)

from lora_mcl.allocator import give_back_memory, share_arenas
from lora_mcl.audio import warm_up
from lora_mcl.bundle.bundle import BUNDLE_FILE, EMBEDDED_AUDIO_BUNDLE, EMBEDDED_BUNDLE, Bundle, load_bundle
from lora_mcl.decoding.options import Acceleration, SchedulerOptions
from lora_mcl.doubt import Doubt, load_doubt
from lora_mcl.errors import BundleError, LoraMclError, OptionsError
from lora_mcl.phrasebook import load_phrasebook
from lora_mcl.process import ProcessCaptioner
from lora_mcl.threads import share_threads
from lora_mcl.types import AudioCaptionSource, CaptionSource
from ui.better import Better, load_better
from ui.environment import environment_arguments
from ui.events import MAX_COMPARISONS
from ui.examples import load_examples
from ui.loading import LoadingCaptioner
from ui.markov_runs import load_demos
from ui.modality import AUDIO, IMAGE, ModalityText
from ui.model_info import ModelInfo, info_of, side_by_side_info
from ui.model_switch import ModelTexts
from ui.models import SeveralCaptioners, SideBySide, models_of
from ui.page import build_page
from ui.repeated import REMEMBERED, RepeatedCaptioner
from ui.results import load_results
from ui.server import ServerOptions, launch, private_uploads, read_users, stop_on_signals
from ui.tab import Tab
from ui.votes import open_votes
from ui.zero_gpu import Lease, ZeroGpuCaptioner

if TYPE_CHECKING:
    from lora_mcl.captioner import Captioner

ROOT = Path(__file__).resolve().parent
EXAMPLES = ROOT / "assets" / "examples"
RESULTS = ROOT / "assets" / "results"
# In place of a bundle: this modality gets no tab.
NO_MODEL = "none"
USER_ERROR = 2


@dataclass(frozen=True)
class Settings:
    """What to serve (a bundle folder or Hub id for each modality, or None) and where.

    ``dtype``, ``device_map``, ``load_in_4bit``, ``acceleration`` are for bundles that do not come with the repository;
    ``scheduler`` bounds what each model computes at a time, ``keep_prompts`` how many encoded media it keeps; ``lease``
    is for ZeroGPU. ``fetch_urls``: whether API clients may give addresses of pictures and sounds. ``votes``: the file
    of the blind votes, "none" for none, or None for the default (``ui.votes.open_votes``).
    ``more_models``: further bundles, each a choice in the tab of its modality, after that tab's own.
    ``model_processes``: each model computes in a process of its own.
    """

    image_model: str | None
    audio_model: str | None
    server: ServerOptions
    fetch_urls: bool = False
    dtype: str | None = None
    device_map: str | None = None
    load_in_4bit: bool = False
    acceleration: Acceleration = "off"
    scheduler: SchedulerOptions = field(default_factory=SchedulerOptions)
    lease: Lease = field(default_factory=Lease)
    votes: str | None = None
    more_models: tuple[str, ...] = ()
    keep_prompts: int = 16
    model_processes: bool = os.name == "posix"

    @property
    def modalities(self) -> int:
        """Tabs with a model: of a tab's models, visitors mostly use one at a time."""
        return sum(model is not None for model in (self.image_model, self.audio_model))


class _Parser(argparse.ArgumentParser):
    """Errors in one line, without all options before it."""

    def error(self, message: str) -> NoReturn:
        ended = message if message.endswith((".", "?")) else f"{message}."
        self.exit(USER_ERROR, f"{self.prog}: {ended} Options: python app.py --help\n")


def settings_from(arguments: Sequence[str] | None, environment: Mapping[str, str]) -> Settings:
    """Settings from the command line, then the environment, then defaults; exits on a bad argument."""

    def first(*names: str) -> str | None:
        return next((environment[name] for name in names if environment.get(name)), None)

    parser = _Parser(prog="app.py", description="Serve the LoRA-MCL Studio page.")
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
        "--more-models",
        type=_listed,
        default=(),
        metavar="BUNDLE,...",
        help="further bundles, between commas: each is a choice in the tab of its modality, and any two are compared "
        "side by side there",
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
    on_or_off = {"action": argparse.BooleanOptionalAction, "default": False}
    shared = parser.add_argument_group("shared servers", "behind a proxy, for known users, for other programs")
    shared.add_argument("--root-path", default="", metavar="PATH", help="below which a proxy serves the page: /studio")
    shared.add_argument("--auth-file", type=Path, metavar="FILE", help="a line name:password for each user")
    shared.add_argument("--mcp", **on_or_off, help="offer the endpoints as MCP tools (needs the package mcp)")
    shared.add_argument("--fetch-urls", **on_or_off, help="fetch what API clients give as an address")
    shared.add_argument(
        "--votes",
        metavar="FILE",
        help=f"SQLite file of the blind votes, or {NO_MODEL} (by default one in your home; on Spaces none)",
    )
    large = parser.add_argument_group("large models", "how bundles that do not come with the repository are held")
    large.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="of the base model's weights")
    large.add_argument("--device-map", metavar="MAP", help="auto spreads the model over several GPUs")
    large.add_argument("--load-in-4bit", **on_or_off, help="language model in 4 bits (needs bitsandbytes)")
    large.add_argument(
        "--acceleration",
        choices=get_args(Acceleration),
        default="off",
        help="on a GPU, run steps as CUDA graphs, or compile them first (default off)",
    )
    together = parser.add_argument_group("visitors together", "how much each model computes at a time; others wait")
    together.add_argument(
        "--max-rows",
        type=int,
        default=SchedulerOptions.max_rows,
        metavar="ROWS",
        help="rows of all running comparisons: a beam is a row (default %(default)s)",
    )
    together.add_argument(
        "--max-cache",
        type=float,
        metavar="GB",
        help="gigabytes (10^9 bytes) of their keys and values (default: no bound)",
    )
    together.add_argument(
        "--keep-prompts",
        type=int,
        default=Settings.keep_prompts,
        metavar="N",
        help="media whose encoding is kept, for those who ask again (default %(default)s); 0 keeps no captions either",
    )
    together.add_argument(
        "--model-processes",
        **{**on_or_off, "default": Settings.model_processes},
        help="a process for each model, so that neither waits for the page's or another's Python (on by default, "
        "except on Windows); otherwise all in one, in less memory",
    )
    lease = Lease()
    zero_gpu = parser.add_argument_group("ZeroGPU", "how many seconds of a GPU a comparison requests (app_zero_gpu.py)")
    zero_gpu.add_argument("--lease-start", type=float, default=lease.start, metavar="SECONDS", help="before any token")
    zero_gpu.add_argument("--lease-per-token", type=float, default=lease.per_token, metavar="SECONDS", help="for each")
    arguments = sys.argv[1:] if arguments is None else arguments
    # The environment's options come first, so that the command line's win; both are checked alike.
    args = vars(parser.parse_args([*environment_arguments(environment, parser), *arguments]))
    try:
        args["scheduler"] = _scheduler_options(args.pop("max_rows"), args.pop("max_cache"))
        if args["keep_prompts"] < 0:
            raise OptionsError(f"keep-prompts must be a whole number of at least 0, not {args['keep_prompts']}.")
        args["lease"] = Lease(args.pop("lease_start"), args.pop("lease_per_token"))
        auth_file = args.pop("auth_file")
        users = () if auth_file is None else read_users(auth_file)
        where = {name: args.pop(name) for name in ("host", "port", "root_path", "mcp")}
        args["server"] = ServerOptions(**where, users=users)
    except OptionsError as error:
        parser.error(str(error))
    for name in ("image_model", "audio_model"):
        args[name] = None if args[name] == NO_MODEL else args[name]
    if args["image_model"] is None and args["audio_model"] is None:
        parser.error("there is nothing to serve without --image-model and --audio-model")
    return Settings(**args)


def _listed(text: str) -> tuple[str, ...]:
    """What stands between commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _scheduler_options(max_rows: int, max_cache: float | None) -> SchedulerOptions:
    """The bounds of ``--max-rows`` and ``--max-cache``; raises OptionsError with the option's name."""
    if max_rows < 1:
        raise OptionsError(f"max-rows must be a whole number of at least 1, not {max_rows}.")
    if max_cache is None:
        return SchedulerOptions(max_rows)
    if not (math.isfinite(max_cache) and max_cache * 1e9 >= 1):
        raise OptionsError(f"max-cache must be a positive number of gigabytes, not {max_cache:g}.")
    return SchedulerOptions(max_rows, int(max_cache * 1e9))


def load_tabs(settings: Settings, gpu: Callable[..., Any] | None = None) -> list[Tab]:
    """Read each modality's bundle and examples; the models are loaded by each captioner's ``load``.

    Args:
        gpu: ``spaces.GPU``, where comparisons borrow a GPU from ZeroGPU; the models are then loaded here, because the
            processes that have the GPU are forked from this one.

    Raises:
        BundleError: a bundle cannot be used, is one for the other modality, or has the name of another.
    """
    tabs, more = [], [load_bundle(source) for source in settings.more_models]
    for modality, source in ((IMAGE, settings.image_model), (AUDIO, settings.audio_model)):
        others = [bundle for bundle in more if bundle.modality == modality.name]
        if source is not None:
            tabs.append(_load_tab(modality, source, others, settings, gpu))
        elif others:
            raise BundleError(f"--more-models names {others[0].name}, but --{modality.name}-model is {NO_MODEL}.")
    return tabs


def _load_tab(
    modality: ModalityText,
    source: str,
    others: Sequence[Bundle],
    settings: Settings,
    gpu: Callable[..., Any] | None,
) -> Tab:
    bundle = load_bundle(source)
    if bundle.modality != modality.name:
        raise BundleError(f"{bundle.name} is no bundle for --{modality.name}-model: its modality is {bundle.modality}.")
    captioners = [_page_captioner(one, modality, settings, gpu) for one in (bundle, *others)]
    texts = [
        ModelTexts(one.name, model_info(one), better_than(one), measured_doubt(one), load_phrasebook(one.folder))
        for one in (bundle, *others)
    ]
    if others:
        pairs = [SideBySide(*pair) for pair in combinations(captioners, 2)]
        captioner = SeveralCaptioners([*captioners, *pairs])
        texts += [ModelTexts(pair.name, side_by_side_info()) for pair in pairs]
    else:
        (captioner,) = captioners
    first = texts[0]
    return Tab(
        modality,
        captioner,
        load_examples(EXAMPLES / modality.name),
        first.info,
        first.better,
        first.doubt,
        first.phrasebook,
        # A GPU is lent for one comparison.
        max_comparisons=MAX_COMPARISONS if gpu is None else 1,
        others=tuple(texts[1:]),
    )


def _page_captioner(
    bundle: Bundle, modality: ModalityText, settings: Settings, gpu: Callable[..., Any] | None
) -> CaptionSource | AudioCaptionSource:
    """One bundle's captioner: repeated comparisons come from memory."""
    remembered = REMEMBERED if settings.keep_prompts else 0
    if gpu is None:
        return LoadingCaptioner(bundle, lambda: RepeatedCaptioner(_load_captioner(bundle, settings), remembered))
    on_gpu = ZeroGpuCaptioner(_load_captioner(bundle, settings), modality, gpu, settings.lease)
    return RepeatedCaptioner(on_gpu, remembered)


def _load_captioner(bundle: Bundle, settings: Settings) -> Captioner | ProcessCaptioner:
    embedded = bundle.folder.resolve() in (EMBEDDED_BUNDLE, EMBEDDED_AUDIO_BUNDLE)
    held = ("device_map", "load_in_4bit", "acceleration")
    options = {} if embedded else {name: getattr(settings, name) for name in held}
    options |= {"scheduler_options": settings.scheduler, "keep_prompts": settings.keep_prompts}
    dtype = None if embedded else settings.dtype
    if settings.model_processes:
        return ProcessCaptioner(bundle, models=settings.modalities, dtype=dtype, **options)
    # Not at the top: torch, transformers and PEFT, seconds that the page need not wait for.
    import torch

    from lora_mcl.captioner import Captioner

    return Captioner.load(bundle, dtype=None if dtype is None else getattr(torch, dtype), **options)


def model_info(bundle: Bundle) -> ModelInfo:
    """What the bundle's model can and cannot do."""
    return info_of(bundle, RESULTS)


def better_than(bundle: Bundle) -> Better | None:
    """The hypotheses against the baselines, of the embedded bundles."""
    measured = {EMBEDDED_BUNDLE: IMAGE, EMBEDDED_AUDIO_BUNDLE: AUDIO}.get(bundle.folder.resolve())
    return load_better(measured.name, RESULTS / f"{measured.name}.json") if measured else None


def measured_doubt(bundle: Bundle) -> Doubt | None:
    """When a caption of the embedded image bundle is to be doubted."""
    if bundle.folder.resolve() != EMBEDDED_BUNDLE:
        return None
    return load_doubt(RESULTS / "doubt.json", RESULTS / "image.json")


def main(arguments: Sequence[str] | None = None, gpu: Callable[..., Any] | None = None) -> int:
    """Serve the page until interrupted; 2 when a model or an address cannot be used."""
    settings = settings_from(arguments, os.environ)
    if gpu is not None:  # which is lent to processes forked from this one
        settings = replace(settings, model_processes=False)
    try:
        with private_uploads():
            return _serve(settings, gpu)
    except KeyboardInterrupt:  # before the models were loaded
        return 0
    except OSError as error:
        print(f"app.py: no folder for uploads can be made: {error}", file=sys.stderr)
        return USER_ERROR


def _serve(settings: Settings, gpu: Callable[..., Any] | None) -> int:
    share_arenas()
    give_back_memory()
    stop = stop_on_signals()
    try:
        tabs = load_tabs(settings, gpu)
        page = build_page(
            tabs,
            load_demos(RESULTS / "markov"),
            results=load_results(RESULTS),
            fetch_urls=settings.fetch_urls,
            opening=True,
            votes=open_votes(settings.votes, os.environ),
        )
    except LoraMclError as error:
        print(f"app.py: {error}", file=sys.stderr)
        return USER_ERROR
    try:
        address = launch(page, tabs, settings.server)
    except OSError as error:
        where = settings.server
        port = "" if where.port is None else f", port {where.port}"
        print(f"app.py: cannot serve on {where.host}{port}: {error}", file=sys.stderr)
        return USER_ERROR
    print(f"LoRA-MCL Studio is at {address}", flush=True)
    try:
        if not settings.model_processes:
            share_threads(settings.modalities)
        for captioner in (one for tab in tabs for one in models_of(tab.captioner)):
            if isinstance(captioner, LoadingCaptioner):  # one at a time: a core is left to the first visitors
                captioner.load()
    except LoraMclError as error:
        print(f"app.py: {error}", file=sys.stderr)
        page.close(verbose=False)
        return USER_ERROR
    if settings.audio_model is not None and not settings.model_processes:
        warm_up()  # last: the resampler takes seconds to import
    try:
        while not stop.wait(timeout=1):
            pass
    finally:
        page.close(verbose=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
