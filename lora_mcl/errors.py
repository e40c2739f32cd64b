"""Errors for users, whose messages name the fault and the remedy; and log lines for unexpected errors."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path


class LoraMclError(Exception):
    """Base of every error that may be shown to a user as it is."""


class BundleError(LoraMclError):
    """A bundle (adapters + base + metadata) is missing, malformed, or does not fit its base model."""


class MediaError(LoraMclError):
    """The given image or sound cannot be read or used."""


class DivergenceError(LoraMclError):
    """Training has diverged: a loss or a weight is not finite."""


class OptionsError(LoraMclError, ValueError):
    """An option has a value that is out of range or contradicts another option."""


def printable(text: str) -> str:
    """Text on one line for a terminal: control characters, such as those of a file's name, are written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def first_line(error: BaseException) -> str:
    """First line of an error's message, or its type where it has none: other libraries' messages may be long."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def without_message(error: BaseException) -> str:
    """Type and place of an error and of what caused it, for logs: a message may quote a caption or a file's name."""
    return " from ".join(map(_type_and_place, _chain(error)))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, then what caused it."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _type_and_place(error: BaseException) -> str:
    """Type, then file, line and function of each call on the way, innermost first; neither message nor values."""
    calls = reversed(traceback.extract_tb(error.__traceback__))
    places = ", ".join(f"{Path(call.filename).name}:{call.lineno} {call.name}" for call in calls)
    return f"{type(error).__name__} at {places}"
