"""Merge one hypothesis into the base model, for engines without adapter support::

python -m lora_mcl export path/to/bundle --merge 0 --out merged
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lora_mcl.bundle import load_bundle
from lora_mcl.bundle.export import export_merged


def run(args: argparse.Namespace) -> int:
    """Write the merged model and print where it is."""
    bundle = load_bundle(args.bundle, revision=args.revision)
    export_merged(bundle, args.merge, Path(args.out))
    print(f"{bundle.hypotheses[args.merge].label} merged into {bundle.base_location()}: {args.out}")
    return 0


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Describe the ``export`` command."""
    export = commands.add_parser("export", help="merge one hypothesis into the base model")
    export.set_defaults(run=run)
    export.add_argument("bundle", metavar="BUNDLE", help="bundle folder or Hub id")
    export.add_argument("--revision", help="commit, tag or branch of a bundle given as a Hub id")
    export.add_argument("--merge", metavar="K", type=int, required=True, help="which hypothesis, counted from 0")
    export.add_argument("--out", metavar="DIR", required=True, help="where the model goes: a new or empty folder")
