"""French typography: the spaces and apostrophes that a keyboard does not give."""

from __future__ import annotations

import re

_NARROW, _WIDE = "\u202f", "\u00a0"
_RULES = (
    (re.compile(r"(?<=\w)'(?=\w)"), "’"),
    # Before a colon and inside quotation marks a no-break space, before the other double marks and % a narrow one: the
    # rules of the Imprimerie nationale.
    (re.compile(r" (?=:)"), _WIDE),
    (re.compile(r"(?<=«) | (?=»)"), _WIDE),
    (re.compile(r" (?=[;!?%])"), _NARROW),
)


def typographic(text: str) -> str:
    """A French text, written with plain spaces and straight apostrophes, as it is printed."""
    for pattern, printed in _RULES:
        text = pattern.sub(printed, text)
    return text
