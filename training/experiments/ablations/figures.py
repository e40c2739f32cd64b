"""Curves of an experiment: loss against examples and against seconds, one row of panels per question."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#0068a8", "#b34700", "#007a5a", "#9c3d75", "#7a6300", "#2b6f8f")
DPI = 110


def draw(result: Mapping[str, Any], file: Path) -> None:
    """Write the figure, without a window."""
    questions: dict[str, dict[str, Any]] = {}
    for name, entry in result["arms"].items():
        questions.setdefault(entry["options"]["question"], {})[name] = entry["runs"]
    figure = Figure(figsize=(10, 3.4 * len(questions)), layout="constrained")
    panels = figure.subplots(len(questions), 2, squeeze=False)
    batch = result["settings"]["batch_size"]
    for (question, variants), (by_examples, by_seconds) in zip(questions.items(), panels, strict=True):
        for number, (name, runs) in enumerate(variants.items()):
            style = {"color": COLOURS[number % len(COLOURS)], "ls": ("-", "--")[number // len(COLOURS) % 2]}
            _mean_and_range(by_examples, runs, "step", batch, name, style)
            _mean_and_range(by_seconds, runs, "seconds", 1.0, name, style)
        by_examples.set(title=question, xlabel="examples", ylabel="loss of the best hypothesis, nats per token")
        by_seconds.set(xlabel="seconds")
        by_examples.legend(fontsize=7, frameon=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=DPI)


def _mean_and_range(
    axes: Axes, runs: list[dict[str, Any]], along: str, scale: float, name: str, style: dict[str, str]
) -> None:
    """Mean over seeds and their range; runs of one variant that differ in length are cut to the shortest."""
    length = min(len(run["curve"]) for run in runs)
    points = [run["curve"][:length] for run in runs]
    where = scale * np.mean([[point[along] for point in curve] for curve in points], axis=0)
    values = np.array([[point.get("best_nll", point["loss"]) for point in curve] for curve in points])
    axes.plot(where, values.mean(axis=0), lw=1.4, label=name, **style)
    axes.fill_between(where, values.min(axis=0), values.max(axis=0), color=style["color"], alpha=0.12, lw=0)
