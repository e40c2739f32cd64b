"""Words that all columns of a comparison share, and words of one column alone.

Columns are compared with those in the same language: in another language every word differs, which says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

from lora_mcl.languages import LANGUAGES, languages_of
from lora_mcl.metrics import words
from lora_mcl.phrasebook import Translator
from lora_mcl.types import Caption, Comparison
from ui.texts.texts import ENGLISH, Texts

Mark = Literal["shared", "unique"]

_PIECES = re.compile(r"([^\W_]+(?:['’][^\W_]+)*)")


@dataclass(frozen=True)
class ColumnWords:
    """Words and languages of a column's finished captions.

    Attributes:
        languages: ISO 639-1 code of each caption; ``None`` where it is not known.
        marks: of each lower-case word that is in every column of its language, or in no other column.
        translations: of each caption in the language of the page; None where there is none.
    """

    languages: tuple[str | None, ...] = ()
    marks: Mapping[str, Mark] = field(default_factory=dict)
    translations: tuple[str | None, ...] = ()

    def language_names(self, texts: Texts = ENGLISH) -> str:
        """The languages of the column in words; empty if one is not known."""
        if not self.languages or None in self.languages:
            return ""
        return texts(" and ").join(texts(LANGUAGES[code]) for code in dict.fromkeys(self.languages))


def column_words(comparison: Comparison, phrasebook: Translator | None = None) -> dict[str, ColumnWords]:
    """The reading of each column, by its id; captions are translated by ``phrasebook``, which knows one language."""
    texts = {column.id: [caption.text for caption in column.captions] for column in comparison.columns}
    codes = iter(languages_of([text for own in texts.values() for text in own]))
    languages = {id: tuple(next(codes) for _ in own) for id, own in texts.items()}
    # Of each column the words in each language.
    used: dict[str, dict[str | None, set[str]]] = {id: {} for id in texts}
    for id, own in texts.items():
        for text, code in zip(own, languages[id], strict=True):
            used[id].setdefault(code, set()).update(words(text))
    return {
        id: ColumnWords(
            languages[id],
            _marks(id, used),
            tuple(_translation(text, code, phrasebook) for text, code in zip(own, languages[id], strict=True)),
        )
        for id, own in texts.items()
    }


def _translation(caption: str, code: str | None, phrasebook: Translator | None) -> str | None:
    return phrasebook.translate(caption) if phrasebook and code == phrasebook.source else None


def _marks(id: str, used: Mapping[str, Mapping[str | None, set[str]]]) -> dict[str, Mark]:
    marks: dict[str, Mark] = {}
    for code, own in used[id].items():
        others = [by_code[code] for other, by_code in used.items() if other != id and code in by_code]
        if not others:
            continue  # the only column in its language
        shared, elsewhere = set.intersection(*others), set.union(*others)
        marks |= dict.fromkeys(own & shared, "shared") | dict.fromkeys(own - elsewhere, "unique")
    return marks


def marked_html(text: str, marks: Mapping[str, Mark]) -> str:
    """The text, escaped, with its marked words in spans; the page dims or underlines them where it is asked to."""
    if not marks:
        return escape(text)
    pieces = []
    for piece in _PIECES.split(text):
        mark = marks.get(piece.lower().replace("’", "'"))
        pieces.append(f'<span class="word-{mark}">{escape(piece)}</span>' if mark else escape(piece))
    return "".join(pieces)


def folded(captions: Sequence[Caption]) -> list[tuple[Caption, int]]:
    """The different wordings, in order, each with the number of captions that have it; the first one stands for them.

    Case and punctuation do not make a wording.
    """
    counts: dict[tuple[str, ...], list[Caption]] = {}
    for caption in captions:
        counts.setdefault(tuple(words(caption.text)), []).append(caption)
    return [(same[0], len(same)) for same in counts.values()]
