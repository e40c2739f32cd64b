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


def diversity_html(comparison: Comparison) -> str:
    """Variety of the hypotheses' best captions, and of as many captions of each baseline."""
    ours, *baselines = _answers(comparison)
    rows = "".join(_row(answers) for answers in (ours, *baselines))
    verdicts = " ".join(
        _verdict(answers.label, ours.variety, answers.variety)
        for answers in baselines
        if ours.variety and answers.variety
    )
    return (
        '<section class="diversity" data-state="done" aria-label="How different the captions are">'
        "<h2>How different are the answers?</h2>"
        f'<p class="verdict">{verdicts} {_language_note(ours.variety)}</p>'
        '<table><thead><tr><th scope="col">Captions</th>'
        '<th scope="col">Different wordings<small>more is more varied</small></th>'
        '<th scope="col">Languages</th>'
        '<th scope="col">Shared content words<small>within one language; lower is more varied</small></th>'
        f"</tr></thead><tbody>{rows}</tbody></table>"
        f"{_paper_html((ours, *baselines))}</section>"
    )


def _answers(comparison: Comparison) -> list[_Answers]:
    """The hypotheses' captions, then those of each baseline."""
    hypotheses = [column for column in comparison.columns if column.method == "hypothesis" and column.captions]
    baselines = [column for column in comparison.columns if column.method != "hypothesis"]
    groups: list[tuple[str, str, Method, tuple[str, ...]]] = [
        (
            f"{len(hypotheses)} hypotheses",
            "the hypotheses",
            "hypothesis",
            tuple(column.captions[0].text for column in hypotheses),
        )
    ]
    for column in baselines:
        texts = tuple(caption.text for caption in column.captions[: len(hypotheses)])
        groups.append((f"{column.label}, {_taken(len(texts), column.method)}", column.label, column.method, texts))
    # All together, so that a short caption is read in a language that others are in.
    languages = iter(languages_of([text for *_, texts in groups for text in texts]))
    return [
        _Answers(name, label, method, texts, variety(texts, [next(languages) for _ in texts]))
        for name, label, method, texts in groups
    ]


def _taken(count: int, method: Method) -> str:
    if count == 1:
        return "1 caption"
    # Samples are not ranked.
    return f"first {count}" if method == "sampling" else f"best {count}"


def _row(answers: _Answers) -> str:
    kind = "hypotheses" if answers.method == "hypothesis" else answers.method
    found = answers.variety
    if found is None:
        cells = "<td>–</td>" * 3
    else:
        shared = "–" if found.shared is None else f"{found.shared:.0%}{_bar(found.shared)}"
        cells = (
            f"<td>{found.wordings} of {found.captions}{_bar(found.wordings / found.captions)}</td>"
            f"<td>{_languages(found)}</td><td>{shared}</td>"
        )
    return f'<tr class="{kind}"><th scope="row">{escape(answers.name)}</th>{cells}</tr>'


def _languages(found: Variety) -> str:
    names = [LANGUAGES[code] for code in dict.fromkeys(found.languages) if code]
    return " and ".join(names) or "unknown"


def _bar(part: float) -> str:
    return f'<span class="bar" aria-hidden="true"><i style="width:{round(100 * min(1.0, part))}%"></i></span>'


def _verdict(baseline: str, ours: Variety, theirs: Variety) -> str:
    """Both measures against one baseline; equal figures are called equal."""
    outcome = [_compared(ours.wordings, theirs.wordings, "more wordings", "as many wordings", "fewer wordings")]
    if ours.shared is not None and theirs.shared is not None:
        one, two = round(100 * ours.shared), round(100 * theirs.shared)
        outcome.append(_compared(one, two, "more shared words", "as many shared words", "fewer shared words", unit="%"))
    return f"Against <b>{escape(baseline)}</b>, the hypotheses have {' and '.join(outcome)}."


def _compared(one: int, two: int, more: str, equal: str, fewer: str, unit: str = "") -> str:
    if one == two:
        return f"{equal} ({one}{unit})"
    return f"{more if one > two else fewer} ({one}{unit} to {two}{unit})"


def _language_note(ours: Variety | None) -> str:
    """What language alone contributes to the hypotheses' variety."""
    if ours is None or not ours.pairs_across:
        return ""
    who = (
        "The two hypotheses differ in language"
        if ours.captions == 2
        else f"{ours.pairs_across} of the {ours.pairs} pairs of hypotheses differ in language"
    )
    return (
        f"{who}, and a translation has other words with the same meaning: shared words are counted within one "
        "language only."
    )


def _paper_html(rows: tuple[_Answers, ...]) -> str:
    """The paper's measures, folded away."""
    heads = "".join(f'<th scope="col">{name}<small>{text}</small></th>' for _, name, text in _PAPER)
    body = ""
    for answers in rows:
        values = diversity(answers.captions)
        cells = "".join(f"<td>{getattr(values, field):.2f}</td>" if values else "<td>–</td>" for field, *_ in _PAPER)
        body += f'<tr><th scope="row">{escape(answers.name)}</th>{cells}</tr>'
    return (
        "<details><summary>The paper’s measures</summary>"
        '<p class="note">Counted over all captions, in any language; of captions under four words, mBLEU-4 '
        "compares the longest word groups there are.</p>"
        f'<table><thead><tr><th scope="col">Captions</th>{heads}</tr></thead><tbody>{body}</tbody></table></details>'
    )
