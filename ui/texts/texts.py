"""Writing the page's texts in a visitor's language.

The code holds the English texts; ``french`` has a translation of each. What is on the page when it is opened is
translated in the browser by Gradio (``gr.I18n``), what comes later here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from starlette.requests import cookie_parser

from lora_mcl.texts import ENGLISH, LANGUAGES, Texts
from lora_mcl.texts import FRENCH as LIBRARY_FRENCH
from ui.texts.french import FRENCH_TEXTS

# In the page's address, for the switch and for links: a frame of another site gets no cookie.
PARAMETER = "lang"
# What the visitor chose by the switch, for the next visit.
COOKIE = "studio-lang"
FRENCH = Texts("fr", {**LIBRARY_FRENCH.translations, **FRENCH_TEXTS})


class Request(Protocol):
    """What is needed of a request, Starlette's or Gradio's."""

    query_params: Mapping[str, str]
    headers: Mapping[str, str]


def texts_for(request: Request | None) -> Texts:
    """The texts for a visitor: in the language of the page's address, else the one that was chosen by the switch, or
    the first of the browser's that there is."""
    if request is None:
        return ENGLISH
    headers = request.headers or {}
    wanted = (request.query_params or {}).get(PARAMETER, "")
    chosen = cookie_parser(headers.get("cookie", "")[:4000]).get(COOKIE, "")
    accepted = _in_order(headers.get("accept-language", ""))
    language = next((code for code in (wanted, chosen, *accepted) if code in LANGUAGES), "en")
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
