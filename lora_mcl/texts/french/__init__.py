"""The library's texts in French, by their English texts or templates."""

from __future__ import annotations

from lora_mcl.texts.french.columns import COLUMNS
from lora_mcl.texts.french.messages import MESSAGES
from lora_mcl.texts.french.report import REPORT
from lora_mcl.texts.typography import typographic

FRENCH_TEXTS = {english: typographic(french) for english, french in {**COLUMNS, **MESSAGES, **REPORT}.items()}
