"""Errors meant for users: each message names the fault and what to do about it."""


class LoraMclError(Exception):
    """Base of every error that may be shown to a user as it is."""


class BundleError(LoraMclError):
    """A bundle (adapters + base + metadata) is missing, malformed, or does not fit its base model."""


class MediaError(LoraMclError):
    """The given image or sound cannot be read or used."""


class OptionsError(LoraMclError, ValueError):
    """An option has a value that is out of range or contradicts another option."""


def printable(text: str) -> str:
    """Text on one line for a terminal: control characters, such as those of a file's name, are written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def first_line(error: BaseException) -> str:
    """First line of an error's message, or its type where it has none: other libraries' messages may be long."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
