"""How different each decoding method's captions are: wordings, languages and shared content words, in a table.

The paper's measures stand below it: mBLEU-4 is 0 for captions under four words, and takes translations for variety.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from lora_mcl.languages import LANGUAGES, languages_of
from lora_mcl.metrics import diversity
from lora_mcl.types import Comparison, Method
from lora_mcl.variety import Variety, variety
from ui.texts.texts import ENGLISH, Texts

IDLE = '<section class="diversity" data-state="idle"></section>'

_PAPER = (
    ("distinct_1", "Div-1", "distinct words, higher is more varied"),
    ("distinct_2", "Div-2", "distinct word pairs, higher is more varied"),
    ("mutual_bleu", "mBLEU-4", "overlap of word groups, lower is more varied"),
)


@dataclass(frozen=True)
class _Answers:
    """Captions of one method: their name in the table, and their variety."""

    name: str
    label: str
    method: Method
    captions: tuple[str, ...]
    variety: Variety | None


def diversity_html(comparison: Comparison, texts: Texts = ENGLISH) -> str:
    """Variety of the hypotheses' best captions, and of as many captions of each baseline."""
    ours, *baselines = _answers(comparison, texts)
    rows = "".join(_row(answers, texts) for answers in (ours, *baselines))
    verdicts = " ".join(
        _verdict(answers.label, ours.variety, answers.variety, texts)
        for answers in baselines
        if ours.variety and answers.variety
    )
    return (
        f'<section class="diversity" data-state="done" aria-label="{texts("How different the captions are")}">'
        f"<h2>{texts('How different are the answers?')}</h2>"
        f'<p class="verdict">{verdicts} {_language_note(ours.variety, texts)}</p>'
        f'<table><thead><tr><th scope="col">{texts("Captions")}</th>'
        f'<th scope="col">{texts("Different wordings")}<small>{texts("more is more varied")}</small></th>'
        f'<th scope="col">{texts("Languages")}</th>'
        f'<th scope="col">{texts("Shared content words")}'
        f"<small>{texts('within one language; lower is more varied')}</small></th>"
        f"</tr></thead><tbody>{rows}</tbody></table>"
        f"{_paper_html((ours, *baselines), texts)}</section>"
    )


def _answers(comparison: Comparison, texts: Texts) -> list[_Answers]:
    """The hypotheses' captions, then those of each baseline."""
    hypotheses = [column for column in comparison.columns if column.method == "hypothesis" and column.captions]
    baselines = [column for column in comparison.columns if column.method != "hypothesis"]
    groups: list[tuple[str, str, Method, tuple[str, ...]]] = [
        (
            texts("{count} hypotheses", count=len(hypotheses)),
            texts("the hypotheses"),
            "hypothesis",
            tuple(column.captions[0].text for column in hypotheses),
        )
    ]
    for column in baselines:
        written = tuple(caption.text for caption in column.captions[: len(hypotheses)])
        label = texts(column.label)
        groups.append((f"{label}, {_taken(len(written), column.method, texts)}", label, column.method, written))
    # All together, so that a short caption is read in a language that others are in.
    languages = iter(languages_of([text for *_, written in groups for text in written]))
    return [
        _Answers(name, label, method, written, variety(written, [next(languages) for _ in written]))
        for name, label, method, written in groups
    ]


def _taken(count: int, method: Method, texts: Texts) -> str:
    if count == 1:
        return texts("1 caption")
    # Samples are not ranked.
    return texts("first {count}", count=count) if method == "sampling" else texts("best {count}", count=count)


def _row(answers: _Answers, texts: Texts) -> str:
    kind = "hypotheses" if answers.method == "hypothesis" else answers.method
    found = answers.variety
    if found is None:
        cells = "<td>–</td>" * 3
    else:
        shared = "–" if found.shared is None else f"{texts.number(found.shared, '.0%')}{_bar(found.shared)}"
        wordings = texts("{count} of {total}", count=found.wordings, total=found.captions)
        cells = (
            f"<td>{wordings}{_bar(found.wordings / found.captions)}</td>"
            f"<td>{_languages(found, texts)}</td><td>{shared}</td>"
        )
    return f'<tr class="{kind}"><th scope="row">{escape(answers.name)}</th>{cells}</tr>'


def _languages(found: Variety, texts: Texts) -> str:
    names = [texts(LANGUAGES[code]) for code in dict.fromkeys(found.languages) if code]
    return texts(" and ").join(names) or texts("unknown")


def _bar(part: float) -> str:
    return f'<span class="bar" aria-hidden="true"><i style="width:{round(100 * min(1.0, part))}%"></i></span>'


def _verdict(baseline: str, ours: Variety, theirs: Variety, texts: Texts) -> str:
    """Both measures against one baseline; equal figures are called equal."""
    outcome = [_wordings(ours.wordings, theirs.wordings, texts)]
    if ours.shared is not None and theirs.shared is not None:
        outcome.append(_shared(round(100 * ours.shared), round(100 * theirs.shared), texts))
    return texts(
        "Compared with <b>{baseline}</b>, the hypotheses have {outcome}.",
        baseline=escape(baseline),
        outcome=texts(" and ").join(outcome),
    )


def _wordings(ours: int, theirs: int, texts: Texts) -> str:
    if ours == theirs:
        return texts("as many wordings ({one})", one=ours)
    if ours > theirs:
        return texts("more wordings ({one} against {two})", one=ours, two=theirs)
    return texts("fewer wordings ({one} against {two})", one=ours, two=theirs)


def _shared(ours: int, theirs: int, texts: Texts) -> str:
    """Shared content words in percent."""
    if ours == theirs:
        return texts("as many shared words ({one}%)", one=ours)
    if ours > theirs:
        return texts("more shared words ({one}% against {two}%)", one=ours, two=theirs)
    return texts("fewer shared words ({one}% against {two}%)", one=ours, two=theirs)


def _language_note(ours: Variety | None, texts: Texts) -> str:
    """What language alone contributes to the hypotheses' variety."""
    if ours is None or not ours.pairs_across:
        return ""
    who = (
        texts("The two hypotheses differ in language")
        if ours.captions == 2
        else texts(
            "{across} of the {pairs} pairs of hypotheses differ in language", across=ours.pairs_across, pairs=ours.pairs
        )
    )
    why = texts(
        ", and a translation has other words with the same meaning: shared words are counted within one language only."
    )
    return who + why


def _paper_html(rows: tuple[_Answers, ...], texts: Texts) -> str:
    """The paper's measures, folded away."""
    heads = "".join(f'<th scope="col">{name}<small>{texts(text)}</small></th>' for _, name, text in _PAPER)
    body = ""
    for answers in rows:
        values = diversity(answers.captions)
        cells = "".join(
            f"<td>{texts.number(getattr(values, field), '.2f')}</td>" if values else "<td>–</td>"
            for field, *_ in _PAPER
        )
        body += f'<tr><th scope="row">{escape(answers.name)}</th>{cells}</tr>'
    note = texts(
        "Counted over all captions, in any language; of captions under four words, mBLEU-4 compares the "
        "longest word groups there are."
    )
    return (
        f'<details><summary>{texts("The paper’s measures")}</summary><p class="note">{note}</p>'
        f'<table><thead><tr><th scope="col">{texts("Captions")}</th>{heads}</tr></thead><tbody>{body}</tbody></table>'
        "</details>"
    )
