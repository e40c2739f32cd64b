"""Diversity of each decoding method's captions, as a small table and a sentence that explains it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from lora_mcl.metrics import Diversity, diversity
from lora_mcl.types import Comparison, Method

IDLE = '<section class="diversity" data-state="idle"></section>'


@dataclass(frozen=True)
class _Measure:
    field: str
    label: str
    name: str
    higher_is_more_varied: bool


_MEASURES = (
    _Measure("distinct_1", "Distinct words", "distinct-1", True),
    _Measure("distinct_2", "Distinct word pairs", "distinct-2", True),
    _Measure("mutual_bleu", "Overlap", "mutual BLEU", False),
)


def diversity_html(comparison: Comparison) -> str:
    """Diversity of the hypotheses' best captions, and of as many captions of each baseline."""
    hypotheses = tuple(
        column.captions[0].text for column in comparison.columns if column.method == "hypothesis" and column.captions
    )
    baselines = [column for column in comparison.columns if column.method != "hypothesis"]
    ours = diversity(hypotheses)
    rows = [_row(f"{len(hypotheses)} hypotheses", "hypotheses", ours)]
    sentences = []
    for column in baselines:
        texts = [caption.text for caption in column.captions[: len(hypotheses)]]
        theirs = diversity(texts)
        rows.append(_row(f"{column.label}, {_taken(len(texts), column.method)}", column.method, theirs))
        if ours and theirs:
            sentences.append(_verdict(column.label, ours, theirs))
    heads = "".join(
        f'<th scope="col">{measure.label}<small>{measure.name}</small><small>'
        f"{'higher' if measure.higher_is_more_varied else 'lower'} is more varied</small></th>"
        for measure in _MEASURES
    )
    return (
        '<section class="diversity" data-state="done" aria-label="How different the captions are">'
        "<h2>How different are the answers?</h2>"
        f'<p class="verdict">The fewer words and phrases the captions share, the more varied they are. '
        f"{' '.join(sentences)}</p>"
        f'<table><thead><tr><th scope="col">Captions</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
        "</section>"
    )


def _taken(count: int, method: Method) -> str:
    if count == 1:
        return "1 caption"
    # Samples are not ranked.
    return f"first {count}" if method == "sampling" else f"best {count}"


def _row(name: str, kind: str, values: Diversity | None) -> str:
    cells = "".join(_cell(getattr(values, measure.field)) if values else "<td>–</td>" for measure in _MEASURES)
    return f'<tr class="{kind}"><th scope="row">{escape(name)}</th>{cells}</tr>'


def _cell(value: float) -> str:
    width = round(100 * min(1.0, value))
    return f'<td>{value:.2f}<span class="bar" aria-hidden="true"><i style="width:{width}%"></i></span></td>'


def _verdict(baseline: str, ours: Diversity, theirs: Diversity) -> str:
    more = less = 0
    for measure in _MEASURES:
        difference = round(getattr(ours, measure.field), 2) - round(getattr(theirs, measure.field), 2)
        if difference:
            more += (difference > 0) == measure.higher_is_more_varied
            less += (difference > 0) != measure.higher_is_more_varied
    count = len(_MEASURES)
    outcome = f"more varied on {more} of {count} measures" if more else "not more varied on any measure"
    if less:
        outcome += f", less on {less}"
    return f"Beside <b>{escape(baseline)}</b>, the hypotheses are {outcome}."
