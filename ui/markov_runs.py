"""Runs of the Markov experiment for the "How it works" tab: recorded ones, and new ones trained live."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_mcl.markov.snapshot import Matrix, Snapshot, to_tuples

if TYPE_CHECKING:
    from lora_mcl.markov import LearningOptions, ModelOptions

# Set-ups in the page's order, by the name of their folder.
_TITLES = {"transition1": "Two very different recipes", "transition2": "Two similar recipes"}


@dataclass(frozen=True)
class Frame:
    """One moment of two trainings: of one model, and of two hypotheses."""

    one: Snapshot
    two: Snapshot

    @property
    def step(self) -> int:
        return self.two.step


@dataclass(frozen=True)
class Run:
    """Both trainings as far as they went.

    Attributes:
        frames: in the order of their steps, from step 0.
        steps: how many the run has when complete.
        tokens: strings whose winner is watched, 0 and 1.
        chains: which recipe wrote each of them.
        best_one, best_known: least loss, on the strings the losses are measured on, of one model that sees as far
            back as this one, and of the recipes themselves; nats per token.
    """

    frames: tuple[Frame, ...]
    steps: int
    tokens: tuple[tuple[int, ...], ...]
    chains: tuple[int, ...]
    best_one: float
    best_known: float

    def at(self, step: float) -> int:
        """Index of the last frame up to ``step``."""
        return max(index for index, frame in enumerate(self.frames) if frame.step <= step or index == 0)


@dataclass(frozen=True)
class MarkovDemo:
    """One set-up of the Markov experiment, with its recorded run.

    Attributes:
        matrices: [Z][S][S], the recipes: the chance that j follows i.
        objective, epsilon: how a run's two hypotheses share the strings, see ``ObjectiveOptions``.
        average: the recipes averaged by how often they visit a state, which one model tends to.
        best_one, best_known: as in ``Run``, expected of any strings.
        measured: ``summary`` of the results file, by number of hypotheses.
        reachable: largest probability that the frozen output layer of each recorded run can give.
        live_options, live_model: of trainings on the spot; None for those of ``markov_live``.
    """

    name: str
    title: str
    matrices: tuple[Matrix, ...]
    objective: str
    epsilon: float
    recorded: Run
    average: tuple[tuple[float, ...], ...]
    best_one: float
    best_known: float
    measured: dict[str, Any]
    reachable: tuple[float, ...]
    live_options: LearningOptions | None = None
    live_model: ModelOptions | None = None

    def live(self, seed: int) -> Iterator[Run]:
        """Train now, from a fresh start; each item is the run so far. Close the iterator to stop."""
        # Not at the top: torch, which the page is served without.
        from ui.markov_live import live_runs

        return live_runs(self, seed)


def load_demos(folder: Path) -> tuple[MarkovDemo, ...]:
    """The set-ups recorded in ``folder/<name>/result.json``; those that are missing are left out.

    Raises:
        ValueError: a file is not what ``python -m training.experiments.markov`` writes.
    """
    return tuple(_demo(name, file) for name, file in demo_files(folder).items() if file.is_file())


def demo_files(folder: Path) -> dict[str, Path]:
    """Where ``load_demos`` looks, by set-up."""
    return {name: folder / name / "result.json" for name in _TITLES}


def _demo(name: str, file: Path) -> MarkovDemo:
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
        # Of each kind the run with the first seed: none is picked.
        curves = {run["hypotheses"]: run["curve"] for run in reversed(result["runs"])}
        learning, known, watched = result["recipe"]["learning"], result["theory"], result["watched"]
        frames = tuple(
            Frame(Snapshot.from_dict(first), Snapshot.from_dict(second))
            for first, second in zip(curves[1], curves[2], strict=True)
        )
        return MarkovDemo(
            name=name,
            title=_TITLES[name],
            matrices=to_tuples(result["setup"]["matrices"]),
            objective=learning["objective"]["name"],
            epsilon=learning["objective"]["epsilon"],
            recorded=Run(
                frames,
                learning["steps"],
                to_tuples(watched["tokens"]),
                tuple(watched["chains"]),
                known["on_evaluation_sequences"]["one_model"],
                known["on_evaluation_sequences"]["true_matrices"],
            ),
            average=to_tuples(known["average_matrix"]),
            best_one=known["best_visible_nll"],
            best_known=known["chain_nll"],
            measured=result["summary"],
            reachable=tuple(odds / (1 + odds) for odds in (run["test"]["largest_odds"] for run in result["runs"])),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{file} is not a result of training.experiments.markov: {error!r}") from error
