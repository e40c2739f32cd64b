"""Texts in English and in French: of reports, slides and messages. The page adds its own (``ui.texts``)."""

from lora_mcl.texts.texts import ENGLISH, FRENCH, LANGUAGES, Language, Texts

__all__ = ["ENGLISH", "FRENCH", "LANGUAGES", "Language", "Texts"]
