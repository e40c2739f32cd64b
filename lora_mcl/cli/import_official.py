"""Import a checkpoint of the authors' code as a bundle of plain PEFT adapters::

python -m lora_mcl import-official ckpts/textcaps/relaxed_3h_01 --base llava-hf/llava-v1.6-vicuna-7b-hf \\
    --modality image --out bundles/textcaps --baseline ckpts/textcaps/wta_1h_rank8
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lora_mcl.bundle.export import MODEL_CLASSES
from lora_mcl.bundle.import_official import PROMPTS, import_official


def run(args: argparse.Namespace) -> int:
    """Write the bundle and print a summary of it."""
    bundle = import_official(
        Path(args.checkpoint),
        args.base,
        args.modality,
        Path(args.out),
        prompt=args.prompt,
        alpha=args.alpha,
        baseline=None if args.baseline is None else Path(args.baseline),
        revision=args.revision,
    )
    made = bundle.training
    own_alpha = made.get("alpha_of_checkpoint")
    overridden = "" if own_alpha is None else f" in place of the checkpoint's {own_alpha:g}"
    print(
        f"{args.out}: {len(bundle.hypotheses)} hypotheses from {made['layout']}, rank {made['rank']}, "
        f"alpha {made['alpha']:g}{overridden}"
    )
    for file in sorted(Path(args.checkpoint).glob("*.bin")):
        print(
            f"{file.name} was not read: it is a pickle file, which can run code. The official runs keep nothing but "
            "adapters trained; if yours also trained the projector, this import lacks it."
        )
    return 0


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Describe the ``import-official`` command."""
    command = commands.add_parser("import-official", help="import a checkpoint of the authors' code")
    command.set_defaults(run=run)
    command.add_argument("checkpoint", metavar="DIR", help="the folder with lora0, or one above it")
    command.add_argument("--base", required=True, help="base model: a folder, or a Hub id in transformers' own form")
    command.add_argument("--revision", help="commit, tag or branch of a base given as a Hub id")
    command.add_argument("--modality", required=True, choices=list(MODEL_CLASSES), help="what the base reads")
    command.add_argument("--out", metavar="BUNDLE", required=True, help="a new or empty folder")
    command.add_argument(
        "--prompt", help="; ".join(f"{modality}: {text!r}" for modality, text in PROMPTS.items() if text)
    )
    command.add_argument("--alpha", type=float, help="if the adapters were trained with another factor alpha / r")
    command.add_argument("--baseline", metavar="DIR", help="checkpoint of a run with one hypothesis (LoRA-MLE)")
