"""Writing the page's texts in a visitor's language.

The code holds the English texts; ``french`` has a translation of each. What is on the page when it is opened is
translated in the browser by Gradio (``gr.I18n``), what comes later here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Any, Literal, Protocol, get_args

from lora_mcl.phrases import Phrase
from ui.texts.french import FRENCH_TEXTS

Language = Literal["en", "fr"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
# In the page's address, for the switch and for links: a frame of another site gets no cookie.
PARAMETER = "lang"


class Request(Protocol):
    """What is needed of a request, Starlette's or Gradio's."""

    query_params: Mapping[str, str]
    headers: Mapping[str, str]


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
    """The page's texts in one language; called with an English text, it gives that text in its language.

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


def texts_for(request: Request | None) -> Texts:
    """The texts for a visitor: in the language of the page's address, or the first of the browser's that there is."""
    if request is None:
        return ENGLISH
    wanted = (request.query_params or {}).get(PARAMETER, "")
    accepted = (request.headers or {}).get("accept-language", "")
    language = next((code for code in (wanted, *_in_order(accepted)) if code in LANGUAGES), "en")
    return FRENCH if language == "fr" else ENGLISH


def _in_order(accepted: str) -> list[str]:
    """Languages of an ``Accept-Language`` header, which is untrusted, without their regions, most wanted first."""
    found = []
    for entry in accepted[:500].split(","):
        tag, _, quality = entry.partition(";")
        found.append((_quality(quality), tag.strip().split("-")[0].lower()))
    return [code for quality, code in sorted(found, key=lambda pair: -pair[0]) if quality > 0]


def _quality(text: str) -> float:
    name, _, value = text.strip().partition("=")
    try:
        return float(value) if name == "q" else 1.0
    except ValueError:
        return 0.0
