"""Caption one image or sound from the command line::

python -m lora_mcl caption photo.jpg
python -m lora_mcl caption photo.jpg --beams 6 --groups 3 --diversity-penalty 1.0 --json
python -m lora_mcl caption photo.jpg --samples 5 --temperature 0.8 --top-p 0.9
python -m lora_mcl caption clip.wav --model path/to/bundle --start 12.5
python -m lora_mcl caption clip.wav --model path/to/7b-bundle --device-map auto --load-in-4bit
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import get_args

import torch

from lora_mcl.bundle.bundle import BUNDLE_FILE, EMBEDDED_AUDIO_BUNDLE, EMBEDDED_BUNDLE, load_bundle
from lora_mcl.captioner import Captioner
from lora_mcl.decoding.options import Acceleration
from lora_mcl.errors import BundleError, MediaError, OptionsError
from lora_mcl.images import modality_of
from lora_mcl.modality import Modality
from lora_mcl.types import CompareOptions, Comparison

_DRAWING = ("temperature", "top_k", "top_p", "typical_p", "seed")


def run(given: argparse.Namespace) -> int:
    """Caption one file and print the comparison."""
    # Refused here, a bad file or bundle does not cost the loading of a large model.
    modality = modality_of(Path(given.file))
    bundle = load_bundle(given.model or _embedded(modality))
    if bundle.modality not in (modality, "text"):
        raise MediaError(f"{Path(given.file).name} is an {modality} file; {bundle.name} takes {bundle.modality} files.")
    captioner = Captioner.load(
        bundle,
        device=given.device,
        dtype=None if given.dtype is None else getattr(torch, given.dtype),
        device_map=given.device_map,
        load_in_4bit=given.load_in_4bit,
        acceleration=given.acceleration,
    )
    options = _options(captioner.defaults, given)
    *_, comparison = captioner.compare(given.file, options, start=given.start)
    if comparison.window and comparison.window.notice:
        print(f"lora_mcl: {comparison.window.notice} Choose another part with --start.", file=sys.stderr)
    for notice in comparison.notices:
        print(f"lora_mcl: {notice}", file=sys.stderr)
    if given.json:
        print(json.dumps(comparison.to_dict(), ensure_ascii=False, indent=2, allow_nan=False))
    else:
        print(table(comparison))
    return 0


def table(comparison: Comparison) -> str:
    """The comparison as aligned text: one line per caption, best first by its score, log-probabilities in nats."""
    rows = [("column", "seconds", "tokens", "log p/token", "score", "caption")]
    for column in comparison.columns:
        heading = (column.label, f"{column.seconds:.2f}")
        for caption in column.captions:
            text = " ".join(caption.text.split())
            score = "" if caption.score is None else f"{caption.score:.3f}"
            rows.append((*heading, str(caption.tokens), f"{caption.mean_log_prob:.3f}", score, text))
            heading = ("", "")
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:5], widths[1:]), row[5]]).rstrip() for row in rows
    ]
    title = f"{comparison.media} captioned by {comparison.model} in {comparison.seconds:.1f} s"
    return "\n".join([title, "", *lines])


def _embedded(modality: Modality) -> Path:
    """The bundle that is used where none is named."""
    folder = EMBEDDED_BUNDLE if modality == "image" else EMBEDDED_AUDIO_BUNDLE
    if not (folder / BUNDLE_FILE).is_file():
        raise BundleError(
            f"Name a bundle for {modality} files with --model, a folder or a Hub id: the embedded models are in the "
            "repository's assets/bundles and do not come with the installed package."
        )
    return folder


def _options(defaults: CompareOptions, given: argparse.Namespace) -> CompareOptions:
    """The bundle's defaults, changed where the user asked for something."""
    asked = {
        "num_beams": given.beams,
        "num_beam_groups": given.groups,
        "diversity_penalty": given.diversity_penalty,
        "hypothesis_beams": given.hypothesis_beams,
        "max_new_tokens": given.max_new_tokens,
        "min_new_tokens": given.min_new_tokens,
        "repetition_penalty": given.repetition_penalty,
        "length_penalty": given.length_penalty,
        "num_samples": given.samples,
        "temperature": given.temperature,
        "top_k": given.top_k,
        "top_p": given.top_p,
        "typical_p": given.typical_p,
        "seed": given.seed,
    }
    changes = {name: value for name, value in asked.items() if value is not None}
    drawing = [name for name in _DRAWING if name in changes]
    options = defaults.with_changes(changes)
    if drawing and not options.num_samples:
        raise OptionsError(f"--{drawing[0].replace('_', '-')} says how samples are drawn: ask for some with --samples.")
    return options


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Describe the ``caption`` command."""
    caption = commands.add_parser("caption", help="caption an image or a sound in every column")
    caption.set_defaults(run=run)
    caption.add_argument("file", metavar="FILE", help="the image or sound")
    caption.add_argument(
        "--model",
        metavar="BUNDLE",
        help="bundle folder or Hub id; the embedded bundle for the kind of file by default",
    )
    caption.add_argument(
        "--start", metavar="SECONDS", type=float, help="where to begin in a long sound (by default at its first sound)"
    )
    caption.add_argument("--beams", metavar="B", type=int, help="beams of both baselines")
    caption.add_argument("--groups", metavar="G", type=int, help="groups of diverse beam search; must divide the beams")
    caption.add_argument(
        "--diversity-penalty",
        metavar="X",
        type=float,
        help="penalty for a token an earlier group chose, in nats",
    )
    caption.add_argument("--hypothesis-beams", metavar="B", type=int, help="beams of each hypothesis; 1 is greedy")
    caption.add_argument("--max-new-tokens", metavar="N", type=int, help="longest caption, in tokens")
    caption.add_argument("--min-new-tokens", metavar="N", type=int, help="shortest caption, in tokens")
    caption.add_argument(
        "--repetition-penalty", metavar="X", type=float, help="above 1 avoids tokens already written (1 is off)"
    )
    caption.add_argument(
        "--length-penalty", metavar="X", type=float, help="of the beams: above 0 favours long captions, below 0 short"
    )
    caption.add_argument("--samples", metavar="N", type=int, help="add a column of N captions drawn at random")
    caption.add_argument("--temperature", metavar="T", type=float, help="below 1 draws likely tokens more often")
    caption.add_argument("--top-k", metavar="K", type=int, help="draw from the K likeliest tokens only")
    caption.add_argument("--top-p", metavar="P", type=float, help="draw from the likeliest tokens of probability P")
    caption.add_argument(
        "--typical-p", metavar="P", type=float, help="draw from the most typical tokens of probability P"
    )
    caption.add_argument("--seed", metavar="N", type=int, help="same seed, same draws (default 0)")
    caption.add_argument("--device", help="where to run, such as cuda:0 or cpu; a GPU by default if there is one")
    caption.add_argument(
        "--device-map", metavar="MAP", help="in place of --device: auto spreads a large model over several GPUs"
    )
    caption.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="of the base model's weights")
    caption.add_argument(
        "--load-in-4bit", action="store_true", help="hold the language model in 4 bits (needs bitsandbytes)"
    )
    caption.add_argument(
        "--acceleration",
        choices=get_args(Acceleration),
        default="off",
        help="run steps as CUDA graphs, or compile them first (default off)",
    )
    caption.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
