"""What the command lines of ``training.evaluate`` and ``training.score_head`` share: data, errors, exit status."""

from __future__ import annotations

import logging
import sys
from argparse import ArgumentParser
from collections.abc import Callable

from transformers.utils import logging as transformers_logging

from lora_mcl.errors import LoraMclError
from training.evaluation.options import PUBLISHED, EvaluationOptions

USER_ERROR, INTERRUPTED = 2, 130


def add_data_options(parser: ArgumentParser) -> None:
    """``--data``, ``--media``, ``--hub-split``, ``--limit``, ``--batch`` and ``--device``."""
    defaults = EvaluationOptions()
    add = parser.add_argument
    add("--data", required=True, metavar="NAME_OR_FOLDER", help=f"{', '.join(PUBLISHED)}; a folder, a table, a Hub id")
    add("--media", default="", metavar="FOLDER", help="of the media files, if not where the captions are")
    add("--hub-split", default="test", help="of a Hub dataset (default: %(default)s)")
    add("--limit", type=int, default=defaults.limit, help="only the first so many media")
    add("--batch", type=int, default=defaults.batch, help="media at a time (default: %(default)s)")
    add("--device", help="such as cuda or cpu; by default the GPU if there is one")


def run_command(program: str, work: Callable[[], None], interrupted: str) -> int:
    """Do the work; returns the exit status.

    0, or ``USER_ERROR`` with the error's sentence, or ``INTERRUPTED`` with a note on what remains of the work.
    """
    transformers_logging.disable_progress_bar()
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        work()
    except LoraMclError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print(f"{program}: interrupted; {interrupted}", file=sys.stderr)
        return INTERRUPTED
    return 0
