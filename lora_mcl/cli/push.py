"""Upload a bundle to the Hugging Face Hub, with a generated model card where it has none::

python -m lora_mcl push path/to/bundle owner/name --private --license apache-2.0
python -m lora_mcl push path/to/bundle owner/name --card-only
"""

from __future__ import annotations

import argparse

from lora_mcl.bundle import load_bundle
from lora_mcl.bundle.card import model_card
from lora_mcl.bundle.hub import push_bundle


def run(args: argparse.Namespace) -> int:
    """Upload and print the address, or print the card."""
    bundle = load_bundle(args.bundle)
    if args.card_only:
        print(model_card(bundle, args.repo_id, args.license), end="")
    else:
        print(push_bundle(bundle, args.repo_id, private=args.private or None, license=args.license))
    return 0


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Describe the ``push`` command."""
    push = commands.add_parser("push", help="upload a bundle to the Hugging Face Hub")
    push.set_defaults(run=run)
    push.add_argument("bundle", metavar="BUNDLE", help="bundle folder")
    push.add_argument("repo_id", metavar="REPO_ID", help="owner/name; made if there is none")
    push.add_argument("--private", action="store_true", help="make a new repository private")
    push.add_argument("--license", metavar="ID", help="license for a generated card, such as apache-2.0")
    push.add_argument("--card-only", action="store_true", help="print the card that would be generated; upload nothing")
