"""Train adapters on the frozen embedded base: LoRA-MCL with any assignment, or LoRA-MLE (one hypothesis).

    python -m training.image.adapters --run caption-gate
    python -m training.image.adapters --run relaxed
    python -m training.image.adapters --run mle
    python -m training.image.adapters --run mle-wide
    python -m training.image.adapters --run caption-gate --backward sampled --as gate-sampled

All runs see the same pictures and captions in the same order and take the same number of steps. A run that was
cut short goes on from its last checkpoint. The adapters land in ``build/image/adapters/<run>/<k>/`` as standard
PEFT folders.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

import torch
from transformers import TrainerCallback

from lora_mcl.adapters import AdapterSpec, AdapterStack
from lora_mcl.gate import Balance, CaptionGate
from lora_mcl.models.llava_next import ImageLanguageModel
from lora_mcl.objectives import ObjectiveOptions
from training.bundles import WORDS
from training.image.base import BASE_DIR
from training.image.batches import VisitCollator, encode_prompts
from training.image.grammar import MODES
from training.image.stream import open_stream
from training.learner import run_parser, training_arguments, write_summary
from training.mcl import MultipleChoiceLearner, MultipleChoiceTrainer, StepOptions
from training.packages import BUILD_DIR
from training.step import Backward

ADAPTERS_DIR = BUILD_DIR / "image" / "adapters"
HYPOTHESES = 3
RANK = 8
ALPHA_PER_RANK = 2.0


@dataclass(frozen=True)
class Run:
    """One row of the comparison: how many adapters of which rank, and the assignment.

    Attributes:
        step: how a training step is computed.
        dropout: of the adapters.
        balance: of the caption gate.
        mode_shares: how often each annotator captions; equally often by default.
    """

    hypotheses: int
    rank: int
    objective: ObjectiveOptions
    step: StepOptions = field(default_factory=StepOptions)
    dropout: float = 0.0
    balance: Balance = "uniform"
    mode_shares: tuple[float, ...] | None = None

    def specs(self) -> list[AdapterSpec]:
        alpha = ALPHA_PER_RANK * self.rank
        return [AdapterSpec(f"hypothesis-{k}", self.rank, alpha, self.dropout) for k in range(self.hypotheses)]


RUNS = {
    "caption-gate": Run(HYPOTHESES, RANK, ObjectiveOptions("caption-gate")),
    "relaxed": Run(HYPOTHESES, RANK, ObjectiveOptions("relaxed", epsilon=0.1)),
    "mle": Run(1, RANK, ObjectiveOptions("wta")),
    "mle-wide": Run(1, HYPOTHESES * RANK, ObjectiveOptions("wta")),
}


def train(
    run: Run,
    folder: Path,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    callbacks: Sequence[TrainerCallback] = (),
) -> MultipleChoiceLearner:
    """Train one run and save its adapters, gate and summary in ``folder``, called by the folder's name."""
    torch.manual_seed(seed)
    media = ImageLanguageModel.load(BASE_DIR)
    stack = AdapterStack.attach(media.model, run.specs())
    gate = None
    if run.objective.needs_gate:
        special = media.tokenizer.all_special_ids
        gate = CaptionGate(len(media.tokenizer), run.hypotheses, balance=run.balance, excluded_token_ids=special)
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
        train_dataset=open_stream(
            media,
            steps * batch_size,
            seed + 1,
            simulated_share=0.1,
            photograph_share=0.0,
            mode_shares=run.mode_shares,
        ),
        data_collator=VisitCollator(media),
        callbacks=list(callbacks),
        prompts_of=lambda batch: encode_prompts(media.model, batch),
    )
    started = time.perf_counter()
    trainer.train_or_resume()
    for k, adapter in enumerate(stack.names):
        stack.save(adapter, folder / str(k), "image")
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


def changed(run: Run, given: argparse.Namespace) -> Run:
    """The run with what the command line changes of it."""
    step = StepOptions(given.backward or run.step.backward, not given.clean_scores and run.step.score_with_dropout)
    asked = {
        "hypotheses": given.hypotheses,
        "dropout": given.dropout,
        "balance": given.balance,
        "mode_shares": None if given.mode_shares is None else tuple(given.mode_shares),
    }
    return replace(run, step=step, **{name: value for name, value in asked.items() if value is not None})


def main() -> None:
    parser = run_parser(__doc__, steps=400, batch_size=24, learning_rate=1e-3)
    parser.add_argument("--run", choices=sorted(RUNS), required=True)
    parser.add_argument("--backward", choices=get_args(Backward), help="hypotheses that the gradient is taken of")
    parser.add_argument("--clean-scores", action="store_true", help="choose winners without dropout noise")
    parser.add_argument("--hypotheses", type=int, help="K")
    parser.add_argument("--dropout", type=float, help="of the adapters")
    parser.add_argument("--balance", choices=get_args(Balance), help="of the caption gate")
    parser.add_argument("--mode-shares", type=float, nargs=len(MODES), metavar="X", help=f"of {', '.join(MODES)}")
    parser.add_argument("--as", dest="name", metavar="NAME", help="folder, for a run that is changed; the run's name")
    given = parser.parse_args()
    run = changed(RUNS[given.run], given)
    if run != RUNS[given.run] and given.name in (None, *RUNS):
        parser.error("a changed run needs a name of its own: --as NAME")
    train(
        run,
        ADAPTERS_DIR / (given.name or given.run),
        steps=given.steps,
        batch_size=given.batch_size,
        learning_rate=given.learning_rate,
        seed=given.seed,
    )


if __name__ == "__main__":
    main()
