"""One column of the comparison as HTML. Model text is escaped: it is never trusted."""

from __future__ import annotations

from html import escape
from typing import Literal

from lora_mcl.types import Caption, ColumnResult, ColumnSpec, Comparison

State = Literal["idle", "waiting", "writing", "done", "stopped"]

# Colours in style.css; a model with more hypotheses starts over, and the numbers still tell them apart.
NUM_ACCENTS = 6


def idle_columns(specs: tuple[ColumnSpec, ...]) -> dict[str, str]:
    """Every column before anything is chosen, by column id."""
    return {spec.id: _column_html(spec, index, "idle", None) for index, spec in enumerate(specs)}


def comparison_columns(specs: tuple[ColumnSpec, ...], comparison: Comparison, waiting: str) -> dict[str, str]:
    """Every column of a comparison in progress, by column id; ``waiting`` is the text before the first word."""
    return {
        spec.id: _column_html(spec, index, _state(comparison, result), result, waiting)
        for index, (spec, result) in enumerate(zip(specs, comparison.columns, strict=True))
    }


def _state(comparison: Comparison, result: ColumnResult) -> State:
    if result.done or comparison.done:
        return "done"
    if comparison.stopped:
        return "stopped"
    return "writing" if result.captions else "waiting"


def _column_html(spec: ColumnSpec, index: int, state: State, result: ColumnResult | None, waiting: str = "") -> str:
    hypothesis = spec.method == "hypothesis"
    kind = f"hypothesis accent-{index % NUM_ACCENTS}" if hypothesis else "baseline"
    badge = f'<span class="badge">{index + 1}</span>' if hypothesis else ""
    captions = result.captions if result else ()
    # One tag for both states, so that the page updates this region in place and screen readers follow it.
    # The language of the captions is not known to the page: an empty lang attribute states that.
    answers = _single(captions) if hypothesis and len(captions) < 2 else _list(captions)
    busy = "true" if state in ("waiting", "writing") else "false"
    provisional = spec.revises and state == "writing"
    return (
        f'<section class="caption-column {kind}{" provisional" if provisional else ""}" '
        f'data-column="{escape(spec.id)}" data-state="{state}" aria-label="{escape(spec.label)}">'
        f'<p class="kind">{"Hypothesis " + badge if hypothesis else "For comparison"}</p>'
        f"<h3>{escape(spec.label)}</h3>"
        f'<p class="what">{escape(spec.description)}</p>'
        f'<div class="answers" lang="" aria-live="polite" aria-busy="{busy}">{answers}</div>'
        f'<p class="figures">{_figures(hypothesis, result, _note(state, provisional, waiting))}</p>'
        "</section>"
    )


def _single(captions: tuple[Caption, ...]) -> str:
    return f'<p class="caption">{_text(captions[0])}</p>' if captions else '<p class="caption"></p>'


def _list(captions: tuple[Caption, ...]) -> str:
    items = "".join(
        f'<li><p class="caption">{_text(caption)}</p><small>{_score(caption)}{_log_prob(caption)}</small></li>'
        for caption in captions
    )
    return f"<ol>{items}</ol>"


def _text(caption: Caption) -> str:
    return escape(caption.text) if caption.text else '<span class="blank">(no words)</span>'


def _note(state: State, provisional: bool, waiting: str) -> str:
    if state == "stopped":
        return "Stopped"
    if provisional:
        return '<span title="The best so far: the search may still replace them">Provisional</span>'
    return waiting if state == "waiting" else ""


def _figures(hypothesis: bool, result: ColumnResult | None, note: str) -> str:
    components = [note] if note else []
    if result is not None and result.captions:
        components.append(f"{result.seconds:.1f} s")
        if hypothesis and len(result.captions) == 1:
            (caption,) = result.captions
            components += [f"{caption.tokens} tokens", _log_prob(caption)]
    return " · ".join(components)


def _log_prob(caption: Caption) -> str:
    return (
        f'<span title="{_number(caption.mean_log_prob, 2)} per token">log-prob. {_number(caption.log_prob, 1)}</span>'
    )


def _score(caption: Caption) -> str:
    """What the captions of a search are ranked by, to stand before the log-probability; nothing without ranking."""
    if caption.score is None:
        return ""
    return f'<span title="The captions are in this order">score {_number(caption.score, 2)}</span> · '


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}".replace("-", "−")
