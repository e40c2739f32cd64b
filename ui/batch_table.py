"""The rows of the batch's table as HTML. File names, messages and captions are escaped: they are never trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from lora_mcl.errors import MediaError
from lora_mcl.languages import LANGUAGES, language_of, languages_of
from lora_mcl.metrics import words
from lora_mcl.phrasebook import Translator
from lora_mcl.report import CaptionedFile
from lora_mcl.report.media import picture_uri, sound_uri
from lora_mcl.types import ColumnResult
from lora_mcl.variety import variety
from ui.columns import NUM_ACCENTS
from ui.texts.texts import ENGLISH, Texts

# In pixels, two of the file for each of the page's.
_THUMBNAIL = 280


@dataclass(frozen=True)
class RowFigures:
    """What rows are sorted and filtered by.

    Attributes:
        disagreement: part of the content words that two of the hypotheses' captions in one language do not share, 0 to
            1, the mean over such pairs (``variety``); None where no two are in one language.
        words: of the hypotheses' longest caption.
        languages: of the hypotheses' captions, each once.
    """

    disagreement: float | None
    words: int
    languages: tuple[str, ...]


def row_figures(captions: tuple[str, ...]) -> RowFigures:
    """Figures of the hypotheses' captions."""
    codes = languages_of(captions)
    found = variety(captions, codes)
    return RowFigures(
        disagreement=None if found is None or found.shared is None else 1 - found.shared,
        words=max((len(words(caption)) for caption in captions), default=0),
        languages=tuple(dict.fromkeys(code for code in codes if code)),
    )


def row_html(
    index: int, entry: CaptionedFile, texts: Texts = ENGLISH, phrasebooks: Mapping[str, Translator] | None = None
) -> str:
    """One row of the table; ``data-`` attributes hold what the page's script sorts and filters by.

    Args:
        phrasebooks: what translates captions, by the model's name; used where they translate into the page's language.
    """
    name = f'<p class="name">{escape(entry.name)}</p>'
    if entry.comparison is None:
        return (
            f'<tr data-index="{index}" data-state="failed" data-words="0" data-disagreement="-1" data-languages="">'
            f'<th scope="row">{name}</th><td class="message" colspan="9">{escape(texts(entry.error))}</td></tr>'
        )
    best = tuple(c.captions[0].text for c in entry.comparison.columns if c.method == "hypothesis" and c.captions)
    figures = row_figures(best)
    measured = -1 if figures.disagreement is None else round(figures.disagreement, 4)
    phrasebook = (phrasebooks or {}).get(entry.comparison.model)
    used = phrasebook if phrasebook and phrasebook.target == texts.language else None
    cells = "".join(_cell(column, texts, used) for column in entry.comparison.columns)
    languages = ", ".join(texts(LANGUAGES[code]) for code in figures.languages) or "–"
    shown = "–" if figures.disagreement is None else texts.number(figures.disagreement, ".0%")
    return (
        f'<tr data-index="{index}" data-state="done" data-words="{figures.words}" data-disagreement="{measured}" '
        f'data-languages="{" ".join(figures.languages)}"><th scope="row">{_media(entry, texts)}{name}</th>{cells}'
        f'<td class="numbers"><dl><dt>{texts("disagreement")}</dt><dd>{shown}</dd><dt>{texts("longest")}</dt>'
        f"<dd>{texts('{count} words', count=figures.words)}</dd>"
        f"<dt>{texts('languages')}</dt><dd>{languages}</dd></dl></td></tr>"
    )


def _cell(column: ColumnResult, texts: Texts, phrasebook: Translator | None = None) -> str:
    number = column.number
    kind = "baseline" if number is None else f"hypothesis accent-{number % NUM_ACCENTS}"
    badge = "" if number is None else f'<span class="badge">{number + 1}</span>'
    text = escape(column.captions[0].text) if column.captions else ""
    more = len(column.captions) - 1
    rest = (
        f"<small>{texts('best of {count}', count=more + 1)}</small>" if more > 0 and column.method != "sampling" else ""
    )
    language = _language(column)
    translated = phrasebook.translate(column.captions[0].text) if phrasebook and language == phrasebook.source else None
    meaning = f'<p class="translation" lang="{texts.language}">{escape(translated)}</p>' if translated else ""
    return (
        f'<td class="{kind}" data-column="{escape(column.id)}"><p class="kind">{badge}{escape(texts(column.label))}</p>'
        f'<p class="caption" lang="{language}">{text or texts("(no words)")}</p>{meaning}{rest}</td>'
    )


def _language(column: ColumnResult) -> str:
    return (language_of(column.captions[0].text) or "") if column.captions else ""


def _media(entry: CaptionedFile, texts: Texts) -> str:
    window = entry.comparison.window
    try:
        if window is None:
            thumbnail = escape(texts("Thumbnail of {name}", name=entry.name))
            return f'<img src="{picture_uri(entry.file, _THUMBNAIL)}" alt="{thumbnail}">'
        uri = sound_uri(entry.file, window)
        return f'<audio controls preload="metadata" src="{uri}" aria-label="{escape(entry.name)}"></audio>'
    except MediaError:
        return ""
