"""Unexpected errors: a line in the log without the visitor's data, and a sentence for the visitor."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from lora_mcl.errors import LoraMclError, without_message

APOLOGY = "Something went wrong here. Please try again."

_logger = logging.getLogger(__name__)


@contextmanager
def apologising() -> Iterator[None]:
    """Turn an unexpected error into a ``gr.Error`` with ``APOLOGY``, and log its type and place.

    Gradio would print the traceback, whose message may quote a caption, a file's name or what is in a file.
    """
    try:
        yield
    except (LoraMclError, gr.Error):
        raise
    except Exception as error:
        _logger.error("Unexpected %s", without_message(error))
        raise gr.Error(APOLOGY, print_exception=False) from None
