"""One step of a Markov run as HTML: strings with their winners, what each model has learned, how well it predicts.

Drawn as inline SVG in the page's own colours, so that it follows the dark theme and scales to a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ui.markov_runs import MarkovDemo, Run

RECIPES = "ABCDEFGH"
# What the single model and the two hypotheses are called, and their class in style.css.
_MODELS = (("One model", "single"), ("Hypothesis 1", "accent-0"), ("Hypothesis 2", "accent-1"))

_SIDE, _MAP_LEFT, _MAP_TOP = 220, 34, 20  # of the map, in its own units
_WIDE, _HIGH, _LEFT, _BOTTOM = 330, 200, 34, 30  # of the curves
_BEAD = 10


def board_html(demo: MarkovDemo, run: Run, step: float) -> str:
    """The three drawings for the last recorded moment up to ``step``."""
    index = run.at(step)
    frame = run.frames[index]
    return (
        f'<div class="demo" data-step="{frame.step}">'
        f'<section class="card"><h3>Which hypothesis wins each string?</h3>{_strings(run, index)}</section>'
        f'<section class="card"><h3>What has each learned?</h3>{_map(demo, run, index)}</section>'
        f'<section class="card"><h3>How well do they predict the next bead?</h3>{_curves(run, index)}</section>'
        "</div>"
    )


def recipes_html(demo: MarkovDemo) -> str:
    """The two recipes in words."""
    items = "".join(
        f"<li><b>Recipe {RECIPES[z]}</b>: after ○ comes ● in {_percent(matrix[0][1])} of cases, "
        f"after ● again ● in {_percent(matrix[1][1])}.</li>"
        for z, matrix in enumerate(demo.matrices)
    )
    return f'<ul class="recipes">{items}</ul>'


def figures_html(demo: MarkovDemo) -> str:
    """The measured figures of the recorded set-up, folded away."""
    one, two, name = demo.measured["1"], demo.measured["2"], escape(demo.name)
    runs = f"mean of {two['seeds']} runs: " if two["seeds"] > 1 else ""
    needed = max(p for matrix in demo.matrices for row in matrix for p in row)
    limit = (
        f" No adapter can do better: a recipe needs {needed:.0%}, and the output layers of the frozen models give at "
        f"most {min(demo.reachable):.0%} to {max(demo.reachable):.0%}."
        if max(demo.reachable) < needed
        else ""
    )
    return f"""<details class="guide"><summary>The figures behind this</summary><dl>
<dt>Prediction loss</dt><dd>On new strings, {runs}{one["loss"]["mean"]:.3f} nats per bead
for one model, {two["loss"]["mean"]:.3f} for the better of two hypotheses. The least possible is {demo.best_one:.3f}
for one model that sees nine beads, and {demo.best_known:.3f} for who knows the recipe.</dd>
<dt>Winner</dt><dd>The hypothesis that explains a string best is the one that models its recipe in
{two["accuracy"]["mean"]:.1%} of them.</dd>
<dt>Recipes found</dt><dd>The chances that the two hypotheses learned are off those of the recipes by at most
{two["later_positions"]["error"]:.3f}; those of the one model are off the average of the recipes by at most
{one["later_positions"]["error"]:.3f}.{limit}</dd>
<dt>Set-up</dt><dd><code>{name}</code> of the LoRA-MCL paper: two Markov chains, a frozen GPT-Neo with random weights,
adapters of rank 64 on its attention. Live training is smaller (rank 16, fewer strings).
<code>python -m training.experiments.markov --setup {name}</code> repeats the recorded one.</dd>
</dl></details>"""


def _strings(run: Run, index: int) -> str:
    frame = run.frames[index]
    rows = "".join(
        f'<tr><td>{_beads(tokens)}</td><td class="recipe">{RECIPES[chain]}</td>'
        f'<td><span class="badge accent-{winner % 6}">{winner + 1}</span></td></tr>'
        for tokens, chain, winner in zip(run.tokens, run.chains, frame.two.winners, strict=True)
    )
    note = (
        "Before training both hypotheses are the same, so there is nothing to win yet."
        if frame.step == 0
        else "The hypotheses never see the recipe; they only see the strings."
    )
    return (
        '<table class="strings"><thead><tr><th scope="col">string</th><th scope="col">recipe</th>'
        f'<th scope="col">winner</th></tr></thead><tbody>{rows}</tbody></table><p class="note">{note}</p>'
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


def _map(demo: MarkovDemo, run: Run, index: int) -> str:
    """A point for each model: across its chance of ● after ○, up its chance of ● after ●; and where it came from."""
    shapes = [_grid()]
    for z, matrix in enumerate(demo.matrices):
        x, y = _place(matrix)
        shapes.append(
            f'<circle class="target" cx="{x}" cy="{y}" r="11"/>'
            f'<text class="name" x="{x + 16}" y="{y + 4}">{RECIPES[z]}</text>'
        )
    x, y = _place(demo.average)
    shapes.append(
        f'<rect class="target" x="{x - 10}" y="{y - 10}" width="20" height="20"/>'
        f'<text class="soft" x="{x - 14}" y="{y + 3}" text-anchor="end">average</text>'
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
        values.append(f"{name}: ● after ○ {_percent(matrix[0][1])}, after ● {_percent(matrix[1][1])}.")
    legend = (
        '<p class="legend"><span class="single"><i class="square"></i>one model</span>'
        '<span class="accent-0"><i></i>hypothesis 1</span><span class="accent-1"><i></i>hypothesis 2</span></p>'
    )
    size = f"{_MAP_LEFT + _SIDE + 16} {_MAP_TOP + _SIDE + 20}"
    return (
        f'<svg class="map" role="img" aria-label="{" ".join(values)}" viewBox="0 0 {size}">'
        f'{"".join(shapes)}</svg>{legend}<p class="note">Across: how often ● follows ○. Up: how often ● follows ●. '
        "Rings mark the recipes, the dashed square their average.</p>"
    )


def _grid() -> str:
    left, right, top, bottom = _MAP_LEFT, _MAP_LEFT + _SIDE, _MAP_TOP, _MAP_TOP + _SIDE
    lines, labels = [], []
    for share in (0, 0.5, 1):
        x, y = left + share * _SIDE, bottom - share * _SIDE
        lines.append(f"M{left} {y}H{right}M{x} {top}V{bottom}")
        labels.append(f'<text class="soft" x="{x}" y="{bottom + 14}" text-anchor="middle">{_percent(share)}</text>')
        labels.append(f'<text class="soft" x="{left - 5}" y="{y + 4}" text-anchor="end">{_percent(share)}</text>')
    return f'<path class="grid" d="{"".join(lines)}"/>{"".join(labels)}'


def _place(matrix: Sequence[Sequence[float]]) -> tuple[float, float]:
    return round(_MAP_LEFT + matrix[0][1] * _SIDE, 1), round(_MAP_TOP + (1 - matrix[1][1]) * _SIDE, 1)


def _matrix(run: Run, index: int, number: int) -> Sequence[Sequence[float]]:
    """What the single model (0) or a hypothesis (1, 2) predicts, read in the midst of the strings."""
    frame = run.frames[index]
    return frame.one.later[0] if number == 0 else frame.two.later[number - 1]


def _curves(run: Run, index: int) -> str:
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
                f'<text class="soft" x="{_LEFT - 5}" y="{up(tick) + 4}" text-anchor="end">{tick}</text>'
            )
    for step, anchor in ((0, "middle"), (run.steps, "end")):
        shapes.append(f'<text class="soft" x="{across(step)}" y="{_HIGH - 15}" text-anchor="{anchor}">{step}</text>')
    shapes.append(f'<text class="soft" x="{_WIDE / 2}" y="{_HIGH - 3}" text-anchor="middle">training step</text>')
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
    label = f"At step {run.frames[index].step}: one model {one:.3f}, the better hypothesis {two:.3f} nats per bead."
    legend = (
        f'<p class="legend"><span class="single"><i class="line"></i>one model {one:.3f}</span>'
        f'<span class="pair"><i class="line"></i>the better of two hypotheses {two:.3f}</span></p>'
    )
    return (
        f'<svg class="curves" role="img" aria-label="{label}" viewBox="0 0 {_WIDE} {_HIGH}">{"".join(shapes)}</svg>'
        f"{legend}"
        '<p class="note">Prediction loss in nats per bead, lower is better. Dashed: the least loss possible for one '
        "model, and for who knows the recipe.</p>"
    )


def _percent(share: float) -> str:
    return f"{share:.0%}"
