"""The evidence as one figure: loss and coverage against the number of hypotheses, quality against diversity.

Bars are standard deviations over starts.

What is drawn is also written into the PNG file, so that it can be compared with the results files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from training.experiments.evidence_text import by_number

DPI = 110
BLUE, ORANGE, GREEN, GREY = "#0068a8", "#b34700", "#007a5a", "#5c5c5c"
DRAWN = "Description"


def values(translations: Mapping[str, Any], systems: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is drawn: of each K its loss and coverage; of each system on sounds its diversity and CIDEr-D."""
    found: dict[str, Any] = {
        "numbers": {str(k): _rounded(one) for k, one in by_number(translations).items()},
        "systems": {},
    }
    if systems is not None:
        for name, one in systems["systems"].items():
            score = one["quality"]["cider_d"]
            diversity = 1 - one["diversity"]["mutual_bleu_4"]
            found["systems"][name] = [round(value, 4) for value in (diversity, score["best"], score["mean"])]
    return found


def _rounded(figures: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: value if value is None else round(value, 4) for name, value in figures.items()}


def draw(drawn: Mapping[str, Any], file: Path) -> None:
    """Write the figure, without a window, and its values into it."""
    panels = 3 if drawn["systems"] else 2
    figure = Figure(figsize=(4.2 * panels + (1.5 if drawn["systems"] else 0), 3.5), layout="constrained")
    axes = figure.subplots(1, panels)
    numbers = {int(k): one for k, one in drawn["numbers"].items()}
    _lines(axes[0], numbers, (("best", "best of K", BLUE), ("mixture", "mixture of K", ORANGE)))
    axes[0].set(title="Translations: loss", xlabel="hypotheses K", ylabel="NLL, nats per token")
    names = (("coverage", "K hypotheses", BLUE), ("diverse", "K diverse beams", GREEN), ("beam", "K beams", GREY))
    _lines(axes[1], numbers, names)
    axes[1].set(title="Translations: coverage", xlabel="texts K", ylabel="chrF of the four references")
    for panel in axes[:2]:
        panel.legend(fontsize=8, frameon=False)
    if drawn["systems"]:
        _plane(axes[2], drawn["systems"])
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=DPI, metadata={DRAWN: json.dumps(drawn), "Software": None})


def drawn_in(file: Path) -> dict[str, Any]:
    """The values that a figure was drawn from."""
    with Image.open(file) as image:
        return json.loads(image.info[DRAWN])


def _lines(
    axes: Axes, numbers: Mapping[int, Mapping[str, float | None]], names: Sequence[tuple[str, str, str]]
) -> None:
    for field, label, colour in names:
        points = [(k, one[field], one[f"{field}_std"]) for k, one in sorted(numbers.items()) if one[field] is not None]
        ks, means, deviations = zip(*points, strict=True)
        axes.errorbar(ks, means, deviations, marker="o", ms=4, lw=1.5, capsize=3, color=colour, label=label)
    axes.set_xticks(sorted(numbers))
    axes.spines[["top", "right"]].set_visible(False)


def _plane(axes: Axes, systems: Mapping[str, Sequence[float]]) -> None:
    """A dot at the best of K, a line down to the mean; hypotheses in blue."""
    for number, (name, (diversity, best, mean)) in enumerate(systems.items(), 1):
        colour = BLUE if name == "hypotheses" else GREY
        axes.plot([diversity, diversity], [best, mean], color=colour, lw=1)
        axes.plot([diversity], [best], "o", ms=5, color=colour, label=f"{number} {name}")
        axes.annotate(str(number), (diversity, best), (4, 3), textcoords="offset points", fontsize=8, color=colour)
    axes.set(title="Sounds: best of 3, down to the mean", xlabel="diversity, 1 - mBLEU-4", ylabel="CIDEr-D")
    # Next to the dots, which are everywhere.
    axes.legend(fontsize=7, frameon=False, handlelength=0, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axes.spines[["top", "right"]].set_visible(False)
