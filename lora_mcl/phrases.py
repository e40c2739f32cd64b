"""Sentences that can be written in another language later."""

from __future__ import annotations

from typing import Any


class Phrase(str):
    """A text in English that knows its template and values, so that a page can write it in another language.

    To everything else it is its English text.

    Attributes:
        template: the text with ``{name}`` fields, as for ``str.format``.
        values: what the fields hold; a value may be a phrase itself.
    """

    template: str
    values: dict[str, Any]

    def __new__(cls, template: str, **values: Any) -> Phrase:
        phrase = super().__new__(cls, template.format(**values) if values else template)
        phrase.template, phrase.values = template, values
        return phrase

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        return (self.template,), self.values
