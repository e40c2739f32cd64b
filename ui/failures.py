"""Errors that nobody foresaw: a line in the log without anything of a visitor's, and a sentence for the visitor."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr

from lora_mcl.errors import LoraMclError

APOLOGY = "Something went wrong here. Please try again."

_logger = logging.getLogger(__name__)


@contextmanager
def apologising() -> Iterator[None]:
    """Turn an error that nobody foresaw into a ``gr.Error`` with ``APOLOGY``, and log its type and place.

    Gradio would print the traceback, whose message may quote a caption, a file's name or what is in a file.
    """
    try:
        yield
    except (LoraMclError, gr.Error):
        raise
    except Exception as error:
        _logger.error("Unexpected %s", " from ".join(map(_type_and_place, _chain(error))))
        raise gr.Error(APOLOGY, print_exception=False) from None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, then what caused it."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _type_and_place(error: BaseException) -> str:
    """Type, then file, line and function of each call on the way, innermost first; neither message nor values."""
    calls = reversed(traceback.extract_tb(error.__traceback__))
    places = ", ".join(f"{Path(call.filename).name}:{call.lineno} {call.name}" for call in calls)
    return f"{type(error).__name__} at {places}"
