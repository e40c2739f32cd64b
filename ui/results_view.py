"""A result set as HTML: quality against diversity, best, mean and worst caption, who wins which mode, and a CSV."""

from __future__ import annotations

import csv
import io
from html import escape
from urllib.parse import quote

from ui.results import NumberRow, ResultSet, Specialisation, SystemRow
from ui.texts.texts import ENGLISH, Texts

# Of the axis' labels, in any size of letters.
_UNDER = 'dy=".8em" text-anchor="middle"'
_WIDE, _HIGH, _LEFT, _BOTTOM, _TOP, _RIGHT = 420, 250, 40, 36, 14, 14
_HEADINGS = ("system", "best of K", "mean", "worst", "mBLEU-4")


def results_html(found: ResultSet, texts: Texts = ENGLISH) -> str:
    """Everything about one set: what it is, then a card for each drawing or table with a sentence on how to read it."""
    quality = escape(texts(found.quality))
    cards = [
        _card(
            texts("Quality against diversity"),
            _plane(found, texts),
            texts(
                "Up is better: the {quality}; the dot is the best of K captions, the tail goes down to their mean. "
                "Right is more diverse: captions of one medium share fewer word sequences (1 − mBLEU-4). Best of K "
                "favours diverse captions, so look at the tails too.",
                quality=quality,
            ),
        ),
        _card(
            texts("Best, mean and worst caption"),
            _table(found.systems, texts),
            texts(
                "The {quality}, from 0 to 100. The best of K is what a user who may choose gets, the worst what "
                "an unlucky user gets. mBLEU-4: lower is more diverse.",
                quality=quality,
            ),
        ),
        *(
            _card(
                texts("Who wins which kind of caption: {system}", system=escape(texts(one.system))),
                matrix_html(one, texts),
                texts(
                    "Each row adds up to 100%. One strong cell a row means that a kind (a mode) has a hypothesis of "
                    "its own; an even row, that it has none. Training never saw the kinds' names."
                ),
            )
            for one in found.specialisations
        ),
    ]
    if found.numbers:
        cards.append(
            _card(
                texts("Loss against the number of hypotheses"),
                _loss_curve(found.numbers, texts),
                texts(
                    "NLL of the references in nats per token, lower is better. 1: of each reference's best hypothesis, "
                    "which any choice lowers; 2: of all K as one distribution, the fair comparison with a single "
                    "adapter (K = 1)."
                ),
            )
        )
    return (
        f'<div class="results"><h2 class="sr-only">{texts("Results")}</h2>'
        f'<p class="lead">{escape(texts(found.about))}</p>'
        f'<div class="demo">{"".join(cards)}</div>'
        f'<p><a download="results-{escape(found.name)}.csv" href="data:text/csv;charset=utf-8,'
        f'{quote(results_csv(found))}">{texts("Download these figures (CSV)")}</a></p></div>'
    )


def results_csv(found: ResultSet) -> str:
    """The figures as CSV: the systems, then each matrix."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    several = any(one.deviations for one in found.systems)
    out.writerow([*_HEADINGS, *(f"{name}, deviation over starts" for name in _HEADINGS[1:4] if several)])
    out.writerows(
        [
            one.name,
            *map(_one, (one.best, one.mean, one.worst)),
            f"{one.mutual_bleu:.3f}",
            *(f"{value:.2f}" for value in one.deviations),
        ]
        for one in found.systems
    )
    if found.numbers:
        out.writerow([])
        out.writerow(
            ["K", "NLL of the best", "NLL of the mixture", "starts", "best, deviation", "mixture, deviation"]
            if any(one.deviations for one in found.numbers)
            else ["K", "NLL of the best", "NLL of the mixture", "starts"]
        )
        out.writerows(
            [one.hypotheses, *(f"{value:.4f}" for value in (one.best, one.mixture)), one.starts]
            + [f"{value:.4f}" for value in one.deviations]
            for one in found.numbers
        )
    for one in found.specialisations:
        out.writerow([])
        out.writerow([f"share won, %: {one.system}", *(f"hypothesis {k + 1}" for k in range(len(one.share[0])))])
        out.writerows(
            [mode, *(_one(100 * value) for value in row)] for mode, row in zip(one.modes, one.share, strict=True)
        )
    return text.getvalue()


def _one(value: float) -> str:
    return f"{value:.1f}"


def _letter(number: int) -> str:
    # Systems have letters, as hypotheses have the numbers.
    return chr(ord("A") + number)


def _card(title: str, content: str, note: str) -> str:
    return f'<section class="card"><h3>{title}</h3>{content}<p class="note">{note}</p></section>'


def _table(systems: tuple[SystemRow, ...], texts: Texts) -> str:
    head = "".join(f'<th scope="col">{texts(heading)}</th>' for heading in _HEADINGS)
    rows = "".join(
        f'<tr><th scope="row"><span class="badge accent-{number % 6}">{_letter(number)}</span> '
        f"{escape(texts(one.name))}</th>"
        + "".join(f"<td>{cell}</td>" for cell in _with_deviations(one, texts))
        + f"<td>{texts.number(one.mutual_bleu, '.3f')}</td></tr>"
        for number, one in enumerate(systems)
    )
    return f'<div class="wide"><table class="figures"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _with_deviations(one: SystemRow, texts: Texts) -> list[str]:
    """Best, mean and worst, such as "52.3 ± 0.4" where there were several starts."""
    values = [texts.number(value, ".1f") for value in (one.best, one.mean, one.worst)]
    if not one.deviations:
        return values
    deviations = (texts.number(value, ".1f") for value in one.deviations)
    return [f"{value} ± {deviation}" for value, deviation in zip(values, deviations, strict=True)]


def matrix_html(found: Specialisation, texts: Texts) -> str:
    """The share of each mode's references that each hypothesis explains best, as a table."""
    head = "".join(
        f'<th scope="col" class="accent-{k % 6}"><span class="sr-only">{texts("Hypothesis")} </span>'
        f'<span class="badge">{k + 1}</span></th>'
        for k in range(len(found.share[0]))
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(texts(mode))}</th>'
        + "".join(
            f'<td class="share" style="--share: {round(100 * value)}%">{texts.number(value, ".0%")}</td>'
            for value in row
        )
        + "</tr>"
        for mode, row in zip(found.modes, found.share, strict=True)
    )
    return (
        f'<div class="wide"><table class="figures"><thead><tr><th scope="col">{texts("kind of caption")}</th>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _plane(found: ResultSet, texts: Texts) -> str:
    """A numbered dot for each system at (1 - mBLEU-4, best), with a line down to its mean."""
    xs = [1 - one.mutual_bleu for one in found.systems]
    ys = [value for one in found.systems for value in (one.best, one.mean)]
    left, right = _bounds(xs)
    right = min(right, 1.0)  # the most diverse there is
    low, high = _bounds(ys)

    def place(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (x - left) / (right - left) * (_WIDE - _LEFT - _RIGHT)
        up = _TOP + (high - y) / (high - low) * (_HIGH - _TOP - _BOTTOM)
        return round(across, 1), round(up, 1)

    bottom = _HIGH - _BOTTOM
    shapes = [
        f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{_WIDE - _RIGHT}"/>',
        f'<text class="soft" x="{_WIDE - _RIGHT}" y="{_HIGH - 4}" text-anchor="end">{texts("more diverse →")}</text>',
        f'<text class="soft" x="{_LEFT + 6}" y="{_TOP + 4}">{texts("↑ better")}</text>',
        *(
            f'<text class="soft" x="{place(x, low)[0]}" y="{bottom + 5}" {_UNDER}>{texts.number(x, ".2f")}</text>'
            for x in (left, right)
        ),
        *(
            f'<text class="soft" x="{_LEFT - 5}" y="{place(left, y)[1] + 4}" text-anchor="end">{y:.0f}</text>'
            for y in (low, high)
        ),
    ]
    for number, one in enumerate(found.systems):
        x, y = place(1 - one.mutual_bleu, one.best)
        _, mean = place(1 - one.mutual_bleu, one.mean)
        shapes.append(
            f'<g class="accent-{number % 6}"><polyline points="{x},{y} {x},{mean}"/>'
            f'<circle class="dot" cx="{x}" cy="{y}" r="9"/>'
            f'<text class="on" x="{x}" y="{y + 3.5}" text-anchor="middle">{_letter(number)}</text></g>'
        )
    label = texts("; ").join(
        texts(
            "{number} {name}: best {best:.1f}, mean {mean:.1f}, diversity {diversity:.2f}",
            number=_letter(number),
            name=texts(one.name),
            best=one.best,
            mean=one.mean,
            diversity=1 - one.mutual_bleu,
        )
        for number, one in enumerate(found.systems)
    )
    return f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {_WIDE} {_HIGH}">{"".join(shapes)}</svg>'


def _loss_curve(numbers: tuple[NumberRow, ...], texts: Texts) -> str:
    """Two lines over K: NLL of the best hypothesis and of the mixture, the last point of each numbered."""
    low, high = _bounds([value for one in numbers for value in (one.best, one.mixture)])
    first, last = numbers[0].hypotheses, numbers[-1].hypotheses
    bottom = _HIGH - _BOTTOM

    def place(k: int, value: float) -> tuple[float, float]:
        across = _LEFT + 18 + (k - first) / (last - first) * (_WIDE - _LEFT - _RIGHT - 36)
        up = _TOP + (high - value) / (high - low) * (bottom - _TOP)
        return round(across, 1), round(up, 1)

    shapes = [
        f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{_WIDE - _RIGHT}"/>',
        f'<text class="soft" x="{_WIDE - _RIGHT}" y="{_HIGH - 4}" text-anchor="end">{texts("hypotheses K →")}</text>',
        *(
            f'<text class="soft" x="{place(one.hypotheses, low)[0]}" y="{bottom + 5}" {_UNDER}>{one.hypotheses}</text>'
            for one in numbers
        ),
        *(
            f'<text class="soft" x="{_LEFT - 5}" y="{place(first, value)[1] + 4}" text-anchor="end">'
            f"{texts.number(value, '.2f')}</text>"
            for value in (low, high)
        ),
    ]
    for number, field in enumerate(("best", "mixture")):
        points = [place(one.hypotheses, getattr(one, field)) for one in numbers]
        dots = "".join(f'<circle class="dot" cx="{x}" cy="{y}" r="3"/>' for x, y in points[:-1])
        x, y = points[-1]
        shapes.append(
            f'<g class="accent-{number}"><polyline points="{" ".join(f"{x},{y}" for x, y in points)}"/>{dots}'
            f'<circle class="dot" cx="{x}" cy="{y}" r="9"/>'
            f'<text class="on" x="{x}" y="{y + 3.5}" text-anchor="middle">{number + 1}</text></g>'
        )
    summary = "; ".join(
        texts(
            "K = {number}: best {best:.3f}, mixture {mixture:.3f}",
            number=one.hypotheses,
            best=one.best,
            mixture=one.mixture,
        )
        for one in numbers
    )
    return f'<svg role="img" aria-label="{escape(summary)}" viewBox="0 0 {_WIDE} {_HIGH}">{"".join(shapes)}</svg>'


def _bounds(values: list[float]) -> tuple[float, float]:
    """Smallest and largest value with a margin, so that no dot is on an axis; apart even if all are equal."""
    least, most = min(values), max(values)
    margin = 0.12 * (most - least) or 0.05 * abs(most) or 1.0
    return least - margin, most + margin
