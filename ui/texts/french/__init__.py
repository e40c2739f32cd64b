"""The page's texts in French, by their English texts or templates."""

from __future__ import annotations

from lora_mcl.texts.typography import typographic
from ui.texts.french.captions import CAPTIONS
from ui.texts.french.examples import EXAMPLES
from ui.texts.french.messages import MESSAGES
from ui.texts.french.panels import PANELS
from ui.texts.french.shell import SHELL
from ui.texts.french.tabs import TABS

FRENCH_TEXTS = {
    english: typographic(french)
    for english, french in {**SHELL, **CAPTIONS, **PANELS, **TABS, **MESSAGES, **EXAMPLES}.items()
}
