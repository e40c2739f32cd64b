"""The command line, ``python -m lora_mcl COMMAND``: one module per command.

A command's module has ``add_parser``, which describes its arguments, and ``run``, which returns an exit status.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from transformers.utils import logging as transformers_logging

from lora_mcl.cli import caption, export, import_official, push, score
from lora_mcl.errors import LoraMclError, printable

USER_ERROR = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 2 for a user's error, 130 when interrupted."""
    args = parse_arguments(sys.argv[1:] if arguments is None else list(arguments))
    transformers_logging.disable_progress_bar()
    try:
        return args.run(args)
    except LoraMclError as error:
        print(f"lora_mcl: {printable(str(error))}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Parsed arguments of a command line; their ``run`` runs the command. Exits with 2 if they are not valid."""
    parser = argparse.ArgumentParser(prog="python -m lora_mcl", description="LoRA-MCL from the command line.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (caption, score, export, push, import_official):
        command.add_parser(commands)
    if arguments and arguments[0] in commands.choices:
        # Files may follow options, as in "a.png --json b.png"; argparse allows that where there are no subparsers.
        return commands.choices[arguments[0]].parse_intermixed_args(arguments[1:])
    return parser.parse_args(arguments)  # help, or a message
