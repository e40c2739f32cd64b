"""One column of the comparison as HTML. Model text is escaped: it is never trusted."""

from __future__ import annotations

from html import escape
from typing import Literal

from lora_mcl.doubt import AGREEMENT_OF_BEAMS, Doubt
from lora_mcl.types import Caption, ColumnResult, ColumnSpec, Comparison
from ui.differences import Reading, folded, marked_html, readings

State = Literal["idle", "waiting", "writing", "done", "stopped"]

# Colours in style.css; a model with more hypotheses starts over, and the numbers still tell them apart.
NUM_ACCENTS = 6
# How a sign of doubt begins, and what it compares with, by what it was measured on.
DOUBT_BEAMS = (
    "Where the candidates of beam search agree as little as here, this hypothesis",
    "where they agree more,",
)
DOUBT_LOG_PROB = ("So unlikely a caption", "a likelier one")
_REDO = "Write this column alone again, with the settings as they are now"
# Between a caption and its figures, which screen readers would otherwise read as one.
_SPOKEN_COMMA = '<span class="sr-only">, </span>'


def idle_columns(specs: tuple[ColumnSpec, ...]) -> dict[str, str]:
    """Every column before anything is chosen, by column id."""
    return {spec.id: _column_html(spec, "idle", None) for spec in specs}


def comparison_columns(
    specs: tuple[ColumnSpec, ...], comparison: Comparison, waiting: str, doubt: Doubt | None = None
) -> dict[str, str]:
    """Every column of a comparison in progress, by column id; ``waiting`` is the text before the first word."""
    known = readings(comparison) if comparison.done else {}
    doubted = doubt.column if doubt and comparison.done and doubt.doubts(comparison) else None
    found = {}
    for spec, result in zip(specs, comparison.columns, strict=True):
        sign = doubt if spec.id == doubted else None
        found[spec.id] = _column_html(spec, _state(comparison, result), result, waiting, known.get(spec.id), sign)
    return found


def _state(comparison: Comparison, result: ColumnResult) -> State:
    if result.done or comparison.done:
        return "done"
    if comparison.stopped:
        return "stopped"
    return "writing" if result.captions else "waiting"


def _column_html(
    spec: ColumnSpec,
    state: State,
    result: ColumnResult | None,
    waiting: str = "",
    reading: Reading | None = None,
    doubt: Doubt | None = None,
) -> str:
    number = spec.number
    hypothesis = number is not None
    kind = f"hypothesis accent-{number % NUM_ACCENTS}" if hypothesis else "baseline"
    badge = f'<span class="badge">{number + 1}</span>' if hypothesis else ""
    captions = result.captions if result else ()
    # One tag for both states, so that the page updates this region in place and screen readers follow it.
    single = hypothesis and len(captions) < 2
    answers = _single(captions, reading) if single else _list(captions, reading)
    language = reading.language_names if reading else ""
    busy = "true" if state in ("waiting", "writing") else "false"
    provisional = spec.revises and state == "writing"
    return (
        f'<section class="caption-column {kind}{" provisional" if provisional else ""}" '
        f'data-column="{escape(spec.id)}" data-state="{state}" aria-label="{escape(spec.label)}">'
        f'<p class="kind">{"Hypothesis " + badge if hypothesis else "For comparison"}{_badge(language)}</p>'
        f"<h3>{escape(spec.label)}</h3>"
        f'<p class="what">{escape(spec.description)}</p>'
        f'<div class="answers" aria-live="polite" aria-busy="{busy}">{answers}</div>'
        f'<p class="figures">{_figures(single, result, _note(state, provisional, waiting), reading)}</p>'
        f"{_doubt(doubt) if doubt else ''}"
        "</section>"
    )


def _badge(language: str) -> str:
    return f'<span class="language">{escape(language)}</span>' if language else ""


def _by_score(captions: tuple[Caption, ...]) -> tuple[Caption, ...]:
    """Ranked captions in the order of the score that is shown; groups of a diverse search have each its own ranking."""
    if any(caption.score is None for caption in captions):
        return captions
    return tuple(sorted(captions, key=lambda caption: -caption.score))


def _single(captions: tuple[Caption, ...], reading: Reading | None) -> str:
    return _caption(captions[0], 0, reading) if captions else '<p class="caption"></p>'


def _list(captions: tuple[Caption, ...], reading: Reading | None) -> str:
    """The captions, best first; once all are written, equal ones are one entry."""
    ranked = _by_score(captions)
    entries = folded(ranked) if reading else [(caption, 1) for caption in ranked]
    items = "".join(
        f"<li>{_caption(caption, captions.index(caption), reading)}<small>{_SPOKEN_COMMA}{_times(count)}"
        f"{_score(caption)}{_log_prob(caption)}{_copy(reading)}</small></li>"
        for caption, count in entries
    )
    return f"<ol>{items}</ol>"


def _caption(caption: Caption, index: int, reading: Reading | None) -> str:
    code = reading.languages[index] if reading else None
    language = f' lang="{code}"' if code else ""
    return f'<p class="caption"{language}>{_text(caption, reading)}</p>'


def _text(caption: Caption, reading: Reading | None) -> str:
    if not caption.text:
        return '<span class="blank">(no words)</span>'
    return marked_html(caption.text, reading.marks) if reading else escape(caption.text)


def _times(count: int) -> str:
    return f'<b title="Candidates with this wording">{count} times</b> · ' if count > 1 else ""


def _copy(reading: Reading | None) -> str:
    return ' <button class="copy" type="button" title="Copy this caption">Copy</button>' if reading else ""


def _redo(reading: Reading | None) -> str:
    return f' <button class="copy redo" type="button" title="{_REDO}">Redo</button>' if reading else ""


def _note(state: State, provisional: bool, waiting: str) -> str:
    if state == "stopped":
        return "Stopped"
    if provisional:
        return '<span title="The best so far: the search may still replace them">Provisional</span>'
    return waiting if state == "waiting" else ""


def _figures(single: bool, result: ColumnResult | None, note: str, reading: Reading | None) -> str:
    components = [note] if note else []
    if result is None or not result.captions:
        return " · ".join(components)
    components.append(f"{result.seconds:.1f} s")
    if single:
        (caption,) = result.captions
        figures = [*components, f"{caption.tokens} tokens", _log_prob(caption)]
        return " · ".join(figures) + _copy(reading) + _redo(reading)
    wordings = len(folded(result.captions)) if reading else len(result.captions)
    if wordings < len(result.captions):
        components.append(
            f'<b class="folded">{len(result.captions)} candidates, {wordings} wording{"s" if wordings > 1 else ""}</b>'
        )
    return " · ".join(components) + _redo(reading)


def _doubt(doubt: Doubt) -> str:
    little, more = DOUBT_BEAMS if doubt.signal == AGREEMENT_OF_BEAMS else DOUBT_LOG_PROB
    named = "named the main thing in {right} of {all} test photographs"
    doubted = named.format(right=doubt.doubted_right, all=doubt.doubted)
    sure = f"in {doubt.sure_right} of {doubt.sure}"
    return f'<p class="doubt"><b>Unsure.</b> {little} {doubted}; {more} {sure}.</p>'


def _log_prob(caption: Caption) -> str:
    mean = _number(caption.mean_log_prob, 2)
    return f"<span>log-prob. {_number(caption.log_prob, 1)}</span> <span>({mean} per token)</span>"


def _score(caption: Caption) -> str:
    """What the captions of a search are ranked by, to stand before the log-probability; nothing without ranking."""
    if caption.score is None:
        return ""
    return f'<span title="The captions are in this order">score {_number(caption.score, 2)}</span> · '


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}".replace("-", "−")
