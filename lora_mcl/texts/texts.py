"""Writing texts in a reader's language.

The code holds the English texts; ``french`` has a translation of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Any, Literal, get_args

from lora_mcl.phrases import Phrase
from lora_mcl.texts.french import FRENCH_TEXTS

Language = Literal["en", "fr"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


class _EnglishNumbers(Formatter):
    """``str.format``."""


class _FrenchNumbers(Formatter):
    """``str.format`` with a comma in numbers, narrow no-break spaces between thousands, and one before %."""

    def format_field(self, value: Any, format_spec: str) -> str:
        text = super().format_field(value, format_spec)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return text
        return text.translate({ord(","): "\u202f", ord("."): ",", ord("%"): "\u202f%"})


@dataclass(frozen=True)
class Texts:
    """Texts in one language; called with an English text, it gives that text in its language.

    Attributes:
        language: ISO 639-1 code.
        translations: of the English texts, by their templates; a text without one stays as it is.
    """

    language: Language
    translations: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, text: str, **values: Any) -> str:
        """The text in this language; ``values`` are those of its fields, or are known to a ``Phrase``."""
        if isinstance(text, Phrase):
            text, values = text.template, text.values
        template = self.translations.get(text, text)
        if not values:
            return template
        written = {name: self(value) if isinstance(value, Phrase) else value for name, value in values.items()}
        formatter = _EnglishNumbers() if self.language == "en" else _FrenchNumbers()
        return formatter.vformat(template, (), written)

    def error(self, error: Exception) -> str:
        """An error's message in this language."""
        return self(*error.args) if len(error.args) == 1 and isinstance(error.args[0], str) else str(error)

    def number(self, value: float, spec: str) -> str:
        """A number as the language writes it; ``spec`` as for ``format``."""
        return self("{value:" + spec + "}", value=value)


ENGLISH = Texts("en")
FRENCH = Texts("fr", FRENCH_TEXTS)
