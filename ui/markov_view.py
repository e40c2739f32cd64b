"""One step of a Markov run as HTML: strings with their winners, what each model has learned, how well it predicts.

Drawn as inline SVG in the page's own colours, so that it follows the dark theme and scales to a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ui.markov_runs import MarkovDemo, Run
from ui.texts.texts import ENGLISH, Texts

RECIPES = "ABCDEFGH"
# What the single model and the two hypotheses are called, and their class in style.css.
_MODELS = (("One model", "single"), ("Hypothesis 1", "accent-0"), ("Hypothesis 2", "accent-1"))

_SIDE, _MAP_LEFT, _MAP_TOP = 220, 34, 20  # of the map, in its own units
_WIDE, _HIGH, _LEFT, _BOTTOM = 330, 200, 34, 30  # of the curves
_BEAD = 10


def board_html(demo: MarkovDemo, run: Run, step: float, texts: Texts = ENGLISH) -> str:
    """The three drawings for the last recorded moment up to ``step``."""
    index = run.at(step)
    frame = run.frames[index]
    return (
        f'<div class="demo" data-step="{frame.step}">'
        f'<section class="card"><h3>{texts("Which hypothesis wins each string?")}</h3>'
        f"{_strings(run, index, texts)}</section>"
        f'<section class="card"><h3>{texts("What has each learned?")}</h3>{_map(demo, run, index, texts)}</section>'
        f'<section class="card"><h3>{texts("How well do they predict the next bead?")}</h3>'
        f"{_curves(run, index, texts)}</section>"
        "</div>"
    )


def recipes_html(demo: MarkovDemo, texts: Texts = ENGLISH) -> str:
    """The two recipes in words."""
    items = [
        texts(
            "<b>Recipe {name}</b>: after ○ comes ● in {after_hollow:.0%} of cases, after ● again ● in "
            "{after_filled:.0%}.",
            name=RECIPES[z],
            after_hollow=matrix[0][1],
            after_filled=matrix[1][1],
        )
        for z, matrix in enumerate(demo.matrices)
    ]
    return f'<ul class="recipes">{"".join(f"<li>{item}</li>" for item in items)}</ul>'


def figures_html(demo: MarkovDemo, texts: Texts = ENGLISH) -> str:
    """The measured figures of the recorded set-up, folded away."""
    name = escape(demo.name)
    entries = (
        (texts("Prediction loss"), _loss_text(demo, texts)),
        (
            texts("Winner"),
            texts(
                "The hypothesis that explains a string best is the one that models its recipe in {share:.1%} of them.",
                share=demo.measured["2"]["accuracy"]["mean"],
            ),
        ),
        (texts("Recipes found"), _recipes_text(demo, texts)),
        (
            texts("Set-up"),
            texts(
                "<code>{name}</code> of the LoRA-MCL paper: two Markov chains, a frozen GPT-Neo with random weights, "
                "adapters of rank 64 on its attention. Live training is smaller (rank 16, fewer strings). "
                "<code>python -m training.experiments.markov --setup {name}</code> repeats the recorded one.",
                name=name,
            ),
        ),
    )
    listed = "".join(f"<dt>{term}</dt><dd>{meaning}</dd>" for term, meaning in entries)
    return f'<details class="guide"><summary>{texts("The figures behind this")}</summary><dl>{listed}</dl></details>'


def _loss_text(demo: MarkovDemo, texts: Texts) -> str:
    one, two = demo.measured["1"], demo.measured["2"]
    runs = texts("mean of {count} runs: ", count=two["seeds"]) if two["seeds"] > 1 else ""
    return texts(
        "On new strings, {runs}{one:.3f} nats per bead for one model, {two:.3f} for the better of two hypotheses. The "
        "least possible is {best_one:.3f} for one model that sees nine beads, and {best_known:.3f} for who knows the "
        "recipe.",
        runs=runs,
        one=one["loss"]["mean"],
        two=two["loss"]["mean"],
        best_one=demo.best_one,
        best_known=demo.best_known,
    )


def _recipes_text(demo: MarkovDemo, texts: Texts) -> str:
    found = texts(
        "The chances that the two hypotheses learned are off those of the recipes by at most {two:.3f}; those of the "
        "one model are off the average of the recipes by at most {one:.3f}.",
        two=demo.measured["2"]["later_positions"]["error"],
        one=demo.measured["1"]["later_positions"]["error"],
    )
    needed = max(p for matrix in demo.matrices for row in matrix for p in row)
    if max(demo.reachable) >= needed:
        return found
    limit = texts(
        "No adapter can do better: a recipe needs {needed:.0%}, and the output layers of the frozen models give at "
        "most {least:.0%} to {most:.0%}.",
        needed=needed,
        least=min(demo.reachable),
        most=max(demo.reachable),
    )
    return f"{found} {limit}"


def _strings(run: Run, index: int, texts: Texts) -> str:
    frame = run.frames[index]
    rows = "".join(
        f'<tr><td>{_beads(tokens)}</td><td class="recipe">{RECIPES[chain]}</td>'
        f'<td><span class="badge accent-{winner % 6}">{winner + 1}</span></td></tr>'
        for tokens, chain, winner in zip(run.tokens, run.chains, frame.two.winners, strict=True)
    )
    note = (
        texts("Before training both hypotheses are the same, so there is nothing to win yet.")
        if frame.step == 0
        else texts("The hypotheses never see the recipe; they only see the strings.")
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in (texts("string"), texts("recipe"), texts("winner")))
    return (
        f'<table class="strings"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table><p class="note">{note}</p>'
    )


def _beads(tokens: Sequence[int]) -> str:
    """One string; 1 is a filled bead."""
    radius, middle = 3.4, _BEAD / 2
    paths = []
    for token, name in ((0, "hollow"), (1, "filled")):
        d = "".join(
            f"M{round(place * _BEAD + middle - radius, 1)} {middle}a{radius} {radius} 0 1 0 {2 * radius} 0"
            f"a{radius} {radius} 0 1 0 {-2 * radius} 0"
            for place, own in enumerate(tokens)
            if own == token
        )
        paths.append(f'<path class="{name}" d="{d}"/>')
    spoken = "".join("●" if token else "○" for token in tokens)
    return (
        f'<svg class="beads" role="img" aria-label="{spoken}" viewBox="0 0 {len(tokens) * _BEAD} {_BEAD}">'
        f"{''.join(paths)}</svg>"
    )


def _map(demo: MarkovDemo, run: Run, index: int, texts: Texts) -> str:
    """A point for each model: across its chance of ● after ○, up its chance of ● after ●; and where it came from."""
    shapes = [_grid(texts)]
    for z, matrix in enumerate(demo.matrices):
        x, y = _place(matrix)
        shapes.append(
            f'<circle class="target" cx="{x}" cy="{y}" r="11"/>'
            f'<text class="name" x="{x + 16}" y="{y + 4}">{RECIPES[z]}</text>'
        )
    x, y = _place(demo.average)
    shapes.append(
        f'<rect class="target" x="{x - 10}" y="{y - 10}" width="20" height="20"/>'
        f'<text class="soft" x="{x - 14}" y="{y + 3}" text-anchor="end">{texts("average")}</text>'
    )
    values = []
    for number, (name, style) in enumerate(_MODELS):
        trail = [_place(_matrix(run, past, number)) for past in range(index + 1)]
        x, y = trail[-1]
        points = " ".join(f"{a},{b}" for a, b in trail)
        label = "" if number == 0 else f'<text class="on" x="{x}" y="{y + 3.4}" text-anchor="middle">{number}</text>'
        dot = f'<rect x="{x - 5}" y="{y - 5}" width="10" height="10"/>' if number == 0 else ""
        dot = dot or f'<circle cx="{x}" cy="{y}" r="7"/>'
        shapes.append(f'<g class="{style}"><polyline points="{points}"/>{dot}{label}</g>')
        matrix = _matrix(run, index, number)
        values.append(
            texts(
                "{model}: ● after ○ {after_hollow:.0%}, after ● {after_filled:.0%}.",
                model=texts(name),
                after_hollow=matrix[0][1],
                after_filled=matrix[1][1],
            )
        )
    legend = (
        f'<p class="legend"><span class="single"><i class="square"></i>{texts("one model")}</span>'
        f'<span class="accent-0"><i></i>{texts("hypothesis 1")}</span>'
        f'<span class="accent-1"><i></i>{texts("hypothesis 2")}</span></p>'
    )
    note = texts(
        "Across: how often ● follows ○. Up: how often ● follows ●. Rings mark the recipes, the dashed square their "
        "average."
    )
    size = f"{_MAP_LEFT + _SIDE + 16} {_MAP_TOP + _SIDE + 20}"
    return (
        f'<svg class="map" role="img" aria-label="{" ".join(values)}" viewBox="0 0 {size}">'
        f'{"".join(shapes)}</svg>{legend}<p class="note">{note}</p>'
    )


def _grid(texts: Texts) -> str:
    left, right, top, bottom = _MAP_LEFT, _MAP_LEFT + _SIDE, _MAP_TOP, _MAP_TOP + _SIDE
    lines, labels = [], []
    for share in (0, 0.5, 1):
        x, y = left + share * _SIDE, bottom - share * _SIDE
        lines.append(f"M{left} {y}H{right}M{x} {top}V{bottom}")
        labels.append(
            f'<text class="soft" x="{x}" y="{bottom + 14}" text-anchor="middle">{texts.number(share, ".0%")}</text>'
        )
        labels.append(
            f'<text class="soft" x="{left - 5}" y="{y + 4}" text-anchor="end">{texts.number(share, ".0%")}</text>'
        )
    return f'<path class="grid" d="{"".join(lines)}"/>{"".join(labels)}'


def _place(matrix: Sequence[Sequence[float]]) -> tuple[float, float]:
    return round(_MAP_LEFT + matrix[0][1] * _SIDE, 1), round(_MAP_TOP + (1 - matrix[1][1]) * _SIDE, 1)


def _matrix(run: Run, index: int, number: int) -> Sequence[Sequence[float]]:
    """What the single model (0) or a hypothesis (1, 2) predicts, read in the midst of the strings."""
    frame = run.frames[index]
    return frame.one.later[0] if number == 0 else frame.two.later[number - 1]


def _curves(run: Run, index: int, texts: Texts) -> str:
    """Loss against training step, up to this moment, with the least possible losses."""
    losses = [[frame.one.loss for frame in run.frames], [frame.two.loss for frame in run.frames]]
    top = max(0.72, *(line[0] for line in losses))
    bottom = run.best_known - 0.02

    def across(step: float) -> float:
        return round(_LEFT + step / run.steps * (_WIDE - _LEFT - 8), 1)

    def up(loss: float) -> float:
        return round(8 + (top - loss) / (top - bottom) * (_HIGH - _BOTTOM - 8), 1)

    shapes = [f'<path class="axis" d="M{_LEFT} 8V{_HIGH - _BOTTOM}H{_WIDE - 8}"/>']
    for tick in (0.5, 0.6, 0.7, 0.8):
        if bottom < tick < top:
            shapes.append(
                f'<path class="grid" d="M{_LEFT} {up(tick)}H{_WIDE - 8}"/>'
                f'<text class="soft" x="{_LEFT - 5}" y="{up(tick) + 4}" text-anchor="end">'
                f"{texts.number(tick, 'g')}</text>"
            )
    for step, anchor in ((0, "middle"), (run.steps, "end")):
        shapes.append(f'<text class="soft" x="{across(step)}" y="{_HIGH - 15}" text-anchor="{anchor}">{step}</text>')
    shapes.append(
        f'<text class="soft" x="{_WIDE / 2}" y="{_HIGH - 3}" text-anchor="middle">{texts("training step")}</text>'
    )
    for value, style in ((run.best_one, "single"), (run.best_known, "pair")):
        shapes.append(f'<path class="limit {style}" d="M{_LEFT} {up(value)}H{_WIDE - 8}"/>')
    for line, style in zip(losses, ("single", "pair"), strict=True):
        points = [(across(frame.step), up(loss)) for frame, loss in zip(run.frames, line, strict=True)]
        faint = " ".join(f"{x},{y}" for x, y in points[index:])
        drawn = " ".join(f"{x},{y}" for x, y in points[: index + 1])
        x, y = points[index]
        shapes.append(
            f'<g class="curve {style}"><polyline class="later" points="{faint}"/><polyline points="{drawn}"/>'
            f'<circle cx="{x}" cy="{y}" r="4"/></g>'
        )
    one, two = losses[0][index], losses[1][index]
    label = texts(
        "At step {step}: one model {one:.3f}, the better hypothesis {two:.3f} nats per bead.",
        step=run.frames[index].step,
        one=one,
        two=two,
    )
    of_one = texts("one model {loss:.3f}", loss=one)
    of_two = texts("the better of two hypotheses {loss:.3f}", loss=two)
    legend = (
        f'<p class="legend"><span class="single"><i class="line"></i>{of_one}</span>'
        f'<span class="pair"><i class="line"></i>{of_two}</span></p>'
    )
    note = texts(
        "Prediction loss in nats per bead, lower is better. Dashed: the least loss possible for one model, and for who "
        "knows the recipe."
    )
    return (
        f'<svg class="curves" role="img" aria-label="{label}" viewBox="0 0 {_WIDE} {_HIGH}">{"".join(shapes)}</svg>'
        f'{legend}<p class="note">{note}</p>'
    )
