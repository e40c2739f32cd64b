"""Bundle of a command, and the options for loading its model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

import torch

from lora_mcl.bundle import Bundle
from lora_mcl.bundle.bundle import BUNDLE_FILE, EMBEDDED_AUDIO_BUNDLE, EMBEDDED_BUNDLE, load_bundle
from lora_mcl.captioner import Captioner
from lora_mcl.decoding.options import Acceleration
from lora_mcl.errors import BundleError, MediaError
from lora_mcl.modality import Modality


def bundle_for(file: Path, modality: Modality, args: argparse.Namespace) -> Bundle:
    """The bundle that is named, or the embedded one for the kind of file.

    Raises:
        BundleError: there is none, or it is malformed.
        MediaError: it takes the other kind of file.
    """
    bundle = load_bundle(args.model or _embedded(modality), revision=args.revision)
    if bundle.modality not in (modality, "text"):
        raise MediaError(f"{file.name} is an {modality} file; {bundle.name} takes {bundle.modality} files.")
    return bundle


def _embedded(modality: Modality) -> Path:
    """The embedded bundle, for commands without ``--model``."""
    folder = EMBEDDED_BUNDLE if modality == "image" else EMBEDDED_AUDIO_BUNDLE
    if not (folder / BUNDLE_FILE).is_file():
        raise BundleError(
            f"Name a bundle for {modality} files with --model, a folder or a Hub id: the embedded models are in the "
            "repository's assets/bundles and do not come with the installed package."
        )
    return folder


def load_captioner(bundle: Bundle, args: argparse.Namespace) -> Captioner:
    """The bundle's captioner, loaded with the options of ``add_loading_options``."""
    return Captioner.load(
        bundle,
        device=args.device,
        dtype=None if args.dtype is None else getattr(torch, args.dtype),
        device_map=args.device_map,
        load_in_4bit=args.load_in_4bit,
        acceleration=args.acceleration,
    )


def add_loading_options(command: argparse.ArgumentParser) -> None:
    """Add the options for the bundle and for loading its model."""
    command.add_argument(
        "--model",
        metavar="BUNDLE",
        help="bundle folder or Hub id; the embedded bundle for the kind of file by default",
    )
    command.add_argument("--revision", help="commit, tag or branch of a bundle given as a Hub id")
    command.add_argument("--device", help="where to run, such as cuda:0 or cpu; a GPU by default if there is one")
    command.add_argument(
        "--device-map", metavar="MAP", help="in place of --device: auto spreads a large model over several GPUs"
    )
    command.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="of the base model's weights")
    command.add_argument(
        "--load-in-4bit", action="store_true", help="hold the language model in 4 bits (needs bitsandbytes)"
    )
    command.add_argument(
        "--acceleration",
        choices=get_args(Acceleration),
        default="off",
        help="run steps as CUDA graphs, or compile them first (default off)",
    )
