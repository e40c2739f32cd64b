"""Figures of a results file; no LaTeX, no window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# The page's colours: hypotheses by number, ink for one model.
COLOURS = ("#0068a8", "#b34700", "#007a5a", "#9c3d75", "#7a6300", "#2b6f8f")
INK, SOFT, LINE = "#1f1d1a", "#66605a", "#e2ddd5"
DPI = 110


def draw(result: dict[str, Any], folder: Path) -> None:
    """Write ``losses.png``, ``matrices.png`` and, with more than two numbers of hypotheses, ``hypotheses.png``."""
    _save(loss_curves(result), folder / "losses.png")
    _save(matrices(result), folder / "matrices.png")
    if len(result["summary"]) > 2:
        _save(numbers_of_hypotheses(result), folder / "hypotheses.png")


def loss_curves(result: dict[str, Any]) -> Figure:
    """Loss on the evaluation sequences against steps, mean and range over seeds, with the theory's lines."""
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.subplots()
    known = result["theory"]
    numbers = [int(k) for k in result["summary"]]
    for place, k in enumerate(numbers):
        curves = [run["curve"] for run in result["runs"] if run["hypotheses"] == k]
        steps = [point["step"] for point in curves[0]]
        losses = np.array([[point["loss"] for point in curve] for curve in curves])
        colour = INK if k == 1 else COLOURS[(place - 1) % len(COLOURS)]
        axes.plot(steps, losses.mean(0), color=colour, lw=1.8, label="one model (MLE)" if k == 1 else f"K = {k}")
        axes.fill_between(steps, losses.min(0), losses.max(0), color=colour, alpha=0.18, lw=0)
    reached = known["on_evaluation_sequences"]
    lines = [
        (reached["one_model"], f"best model of {known['visible']} visible tokens, on these sequences", (0, (1, 1))),
        (known["mixture_nll"], "H(x), best of one model", "--"),
        (reached["true_matrices"], "the chains' own matrices, on these sequences", (0, (3, 1, 1, 1))),
        (known["chain_nll"], "H(x | z), chain known", "-."),
    ]
    for value, label, style in lines:
        axes.axhline(value, color=SOFT, lw=1, ls=style, label=label)
    if 2 in numbers:
        lower = known["lower_bound"]["2"]
        axes.axhline(lower, color=COLOURS[0], lw=1, ls=(0, (5, 3)), label="min L_MLE − log 2, lower bound of K = 2")
    axes.set(xlabel="training step", ylabel="loss, nats per token", xlim=(0, steps[-1]))
    axes.legend(fontsize=8, frameon=False)
    _tidy(axes)
    return figure


def matrices(result: dict[str, Any]) -> Figure:
    """Matrices at both read-outs, means over seeds, under their targets: the chains, and the chains' averages."""
    summary, setup = result["summary"], result["setup"]
    chains = len(setup["matrices"])
    k = str(chains) if str(chains) in summary else max(summary, key=int)
    known = result["theory"]
    columns = [f"chain {z + 1} (K = {k})" for z in range(chains)] + ["one model (K = 1)"]
    rows = [
        ("target, later positions", [*setup["matrices"], known["average_matrix"]]),
        ("learned, later positions", _recovered(summary, k, "later_positions")),
        ("target, first position", [*setup["matrices"], known["plain_average"]]),
        ("learned, first position", _recovered(summary, k, "first_position")),
    ]
    size = 1.7 if len(setup["matrices"][0]) == 2 else 2.4
    figure = Figure(figsize=(size * len(columns) + 0.8, size * len(rows) + 0.6), layout="constrained")
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    for axes_row, (label, row) in zip(grid, rows, strict=True):
        for axes, matrix in zip(axes_row, row, strict=True):
            _matrix(axes, np.array(matrix))
        axes_row[0].set_ylabel(label, fontsize=8, color=INK)
    for axes, title in zip(grid[0], columns, strict=True):
        axes.set_title(title, fontsize=9)
    return figure


def numbers_of_hypotheses(result: dict[str, Any]) -> Figure:
    """Test loss against K with the bounds, and who wins which chain's sequences with most hypotheses."""
    numbers = [int(k) for k in result["summary"]]
    known, chains = result["theory"], len(result["setup"]["matrices"])
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
    losses = [result["summary"][str(k)]["loss"] for k in numbers]
    left.errorbar(
        numbers,
        [loss["mean"] for loss in losses],
        [loss["std"] for loss in losses],
        color=COLOURS[0],
        marker="o",
        capsize=3,
        label="measured, mean ± standard deviation",
    )
    bounds = [known["lower_bound"][str(k)] for k in numbers]
    left.plot(numbers, bounds, color=COLOURS[0], ls="--", lw=1, label="min L_MLE − log K")
    left.axhline(known["chain_nll"], color=SOFT, lw=1, ls="-.", label="H(x | z)")
    left.axhline(known["mixture_nll"], color=SOFT, lw=1, ls="--", label="H(x)")
    left.set(xlabel=f"hypotheses K ({chains} chains)", ylabel="loss, nats per token", xticks=numbers)
    left.legend(fontsize=8, frameon=False)
    _tidy(left)
    most = numbers[-1]
    wins = np.array(next(run["test"]["wins"] for run in result["runs"] if run["hypotheses"] == most))
    _matrix(right, wins, "hypothesis", "chain")
    right.set_title(f"share of each chain's sequences won, K = {most}", fontsize=9)
    return figure


def _recovered(summary: dict[str, Any], k: str, name: str) -> list[list[list[float]]]:
    own = summary[k][name]["mean"] if k != "1" else []
    one = summary["1"][name]["mean"][0] if "1" in summary else np.full_like(own[0], np.nan)
    return [*own, one]


def _matrix(axes: Axes, matrix: np.ndarray, across: str = "next", down: str = "") -> None:
    """A matrix as grey squares with its numbers."""
    axes.imshow(matrix, cmap="Greys", vmin=0, vmax=1.15)
    for (i, j), value in np.ndenumerate(matrix):
        if np.isfinite(value):
            colour = "white" if value > 0.6 else INK
            axes.text(j, i, f"{value:.2f}".removeprefix("0"), ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(matrix.shape[1]), [str(j + (across != "next")) for j in range(matrix.shape[1])], fontsize=7)
    axes.set_yticks(range(matrix.shape[0]), [str(i + (across != "next")) for i in range(matrix.shape[0])], fontsize=7)
    axes.tick_params(length=0)
    if down:
        axes.set(xlabel=across, ylabel=down)
    for spine in axes.spines.values():
        spine.set_color(LINE)


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=LINE, lw=0.6)


def _save(figure: Figure, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    # No date or version inside: the same figure is the same file.
    figure.savefig(file, dpi=DPI, metadata={"Software": None})
