"""The command line, ``python -m lora_mcl COMMAND``: one module per command.

A command's module has ``add_parser``, which describes its arguments, and ``run``, which returns an exit status.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from transformers.utils import logging as transformers_logging

from lora_mcl.cli import caption, export, import_official, push
from lora_mcl.errors import LoraMclError, printable

USER_ERROR = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 2 for a user's error, 130 when interrupted."""
    args = _parser().parse_args(arguments)
    transformers_logging.disable_progress_bar()
    try:
        return args.run(args)
    except LoraMclError as error:
        print(f"lora_mcl: {printable(str(error))}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lora_mcl", description="LoRA-MCL from the command line.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (caption, export, push, import_official):
        command.add_parser(commands)
    return parser
