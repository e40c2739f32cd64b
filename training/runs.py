"""The comparison every embedded model is trained for: LoRA-MCL by two assignments, and LoRA-MLE of two ranks."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch.utils.data import Dataset
from transformers import TrainerCallback

from lora_mcl.adapters import LANGUAGE_MODEL_LINEARS, AdapterSpec, AdapterStack
from lora_mcl.gate import Balance, CaptionGate
from lora_mcl.gate_start import start_gate
from lora_mcl.models.base import MediaLanguageModel
from lora_mcl.objectives import ObjectiveOptions
from training.bundles import WORDS
from training.captions import PromptBatch, right_padded
from training.learner import run_parser, training_arguments, write_summary
from training.mcl import MultipleChoiceLearner, MultipleChoiceTrainer, StepOptions
from training.step import Backward

HYPOTHESES = 3
RANK = 8
ALPHA_PER_RANK = 2.0
FULL_GRADIENT = StepOptions("all")
GateStart = Literal["mixture", "random"]
START_CAPTIONS = 2000
"""Captions of the run's own stream that the gate's mixture is fitted to."""


@dataclass(frozen=True)
class Run:
    """One row of the comparison: how many adapters of which rank, and the assignment.

    Attributes:
        step: how a training step is computed; the embedded models learned from the gradient of all hypotheses.
        dropout: of the adapters.
        balance, gate_start: of the caption gate (``lora_mcl.gate``, ``lora_mcl.gate_start``).
        mode_shares: how often each annotator captions; equally often by default.
        target_modules: the layers that carry adapters, as a regular expression.
    """

    hypotheses: int
    rank: int
    objective: ObjectiveOptions
    step: StepOptions = FULL_GRADIENT
    dropout: float = 0.0
    balance: Balance = "uniform"
    gate_start: GateStart = "mixture"
    mode_shares: tuple[float, ...] | None = None
    target_modules: str = LANGUAGE_MODEL_LINEARS

    def specs(self) -> list[AdapterSpec]:
        alpha = ALPHA_PER_RANK * self.rank
        return [
            AdapterSpec(f"hypothesis-{k}", self.rank, alpha, self.dropout, self.target_modules)
            for k in range(self.hypotheses)
        ]


RUNS = {
    "caption-gate": Run(HYPOTHESES, RANK, ObjectiveOptions("caption-gate")),
    "relaxed": Run(HYPOTHESES, RANK, ObjectiveOptions("relaxed", epsilon=0.1)),
    "mle": Run(1, RANK, ObjectiveOptions("wta")),
    "mle-wide": Run(1, HYPOTHESES * RANK, ObjectiveOptions("wta")),
}


def train_run(
    run: Run,
    media: MediaLanguageModel,
    visits: Dataset,
    collator: Callable[[list], dict[str, Any]],
    prompts_of: Callable[[dict[str, Any]], PromptBatch],
    folder: Path,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    callbacks: Sequence[TrainerCallback] = (),
) -> MultipleChoiceLearner:
    """Train one run on a frozen base, or go on with it, and return what learned.

    Adapters (PEFT folders 0, 1, ...), gate and summary land in ``folder``; the run is called by the folder's name.
    """
    stack = AdapterStack.attach(media.model, run.specs())
    gate = None
    if run.objective.needs_gate:
        special = media.tokenizer.all_special_ids
        gate = CaptionGate(len(media.tokenizer), run.hypotheses, balance=run.balance, excluded_token_ids=special)
        if run.gate_start == "mixture":
            texts = [visits[number].caption for number in range(min(START_CAPTIONS, len(visits)))]
            captions = right_padded(media.tokenizer(texts, add_special_tokens=False)["input_ids"])
            start_gate(gate, captions, torch.Generator().manual_seed(seed))
    learner = MultipleChoiceLearner(media.model, stack, run.objective, gate, run.step)
    trainer = MultipleChoiceTrainer(
        learner,
        training_arguments(
            folder / "checkpoints",
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=0.0,
            warmup=0.03,
            seed=seed,
            optim="adamw_torch",
        ),
        train_dataset=visits,
        data_collator=collator,
        callbacks=list(callbacks),
        prompts_of=prompts_of,
    )
    started = time.perf_counter()
    trainer.train_or_resume()
    for k, adapter in enumerate(stack.names):
        stack.save(adapter, folder / str(k), media.medium)
    if gate is not None:
        gate.save(folder / "gate", gate.telling_words(WORDS, media.tokenizer.decode))
    write_summary(
        folder / "summary.json",
        trainer,
        time.perf_counter() - started,
        run=folder.name,
        hypotheses=run.hypotheses,
        rank=run.rank,
    )
    return learner


def adapters_parser(
    description: str, modes: Sequence[str], *, steps: int, learning_rate: float = 1e-3
) -> argparse.ArgumentParser:
    """The options of a command that trains one of ``RUNS``, changed or not."""
    parser = run_parser(description, steps=steps, batch_size=24, learning_rate=learning_rate)
    parser.add_argument("--run", choices=sorted(RUNS), required=True)
    parser.add_argument("--backward", choices=get_args(Backward), help="hypotheses that the gradient is taken of")
    parser.add_argument("--clean-scores", action="store_true", help="choose winners without dropout noise")
    parser.add_argument("--hypotheses", type=int, help="K")
    parser.add_argument("--dropout", type=float, help="of the adapters")
    parser.add_argument("--balance", choices=get_args(Balance), help="of the caption gate")
    parser.add_argument("--gate-start", choices=get_args(GateStart), help="where the caption gate starts")
    parser.add_argument("--mode-shares", type=float, nargs=len(modes), metavar="X", help=f"of {', '.join(modes)}")
    parser.add_argument("--as", dest="name", metavar="NAME", help="folder, for a run that is changed; the run's name")
    return parser


def changed(run: Run, given: argparse.Namespace) -> Run:
    """The run with what the command line changes of it."""
    step = StepOptions(given.backward or run.step.backward, not given.clean_scores and run.step.score_with_dropout)
    asked = {
        "hypotheses": given.hypotheses,
        "dropout": given.dropout,
        "balance": given.balance,
        "gate_start": given.gate_start,
        "mode_shares": None if given.mode_shares is None else tuple(given.mode_shares),
    }
    return replace(run, step=step, **{name: value for name, value in asked.items() if value is not None})


def chosen(parser: argparse.ArgumentParser) -> tuple[Run, str, dict[str, Any]]:
    """From the command line: the run, its name, and steps, batch size, learning rate and seed."""
    given = parser.parse_args()
    run = changed(RUNS[given.run], given)
    if run != RUNS[given.run] and given.name in (None, *RUNS):
        parser.error("a changed run needs a name of its own: --as NAME")
    settings = {name: getattr(given, name) for name in ("steps", "batch_size", "learning_rate", "seed")}
    return run, given.name or given.run, settings
