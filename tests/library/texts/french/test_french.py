"""The library's French: complete, and with the same fields as the English."""

from string import Formatter

import pytest

from lora_mcl.texts import FRENCH
from tests.support.texts_of_code import calls_of, calls_of_the_report


def test_the_library_knows_the_texts_of_its_reports_and_errors():
    """Without the page: the command line writes them in French."""
    written = calls_of(("texts", "Phrase", "self.texts", "self._texts"), "lora_mcl") | calls_of_the_report()
    assert len(written) > 50 and set(written) <= set(FRENCH.translations)


@pytest.mark.parametrize("english", FRENCH.translations)
def test_a_translation_has_the_same_fields(english):
    fields = [
        sorted(name or "" for _, name, *_ in Formatter().parse(t)) for t in (english, FRENCH.translations[english])
    ]
    assert fields[0] == fields[1]
