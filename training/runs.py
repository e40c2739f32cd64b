"""The comparison every embedded model is trained for: LoRA-MCL by two assignments, and LoRA-MLE of two ranks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from lora_mcl.adapters import AdapterSpec, AdapterStack
from lora_mcl.gate import CaptionGate
from lora_mcl.models.base import MediaLanguageModel
from lora_mcl.objectives import ObjectiveOptions
from training.captions import PromptBatch
from training.learner import training_arguments, write_summary
from training.mcl import MultipleChoiceLearner, MultipleChoiceTrainer

HYPOTHESES = 3
RANK = 8
ALPHA_PER_RANK = 2.0


@dataclass(frozen=True)
class Run:
    """One row of the comparison: how many adapters of which rank, and the assignment."""

    hypotheses: int
    rank: int
    objective: ObjectiveOptions

    def specs(self) -> list[AdapterSpec]:
        return [AdapterSpec(f"hypothesis-{k}", self.rank, ALPHA_PER_RANK * self.rank) for k in range(self.hypotheses)]


RUNS = {
    "caption-gate": Run(HYPOTHESES, RANK, ObjectiveOptions("caption-gate")),
    "relaxed": Run(HYPOTHESES, RANK, ObjectiveOptions("relaxed", epsilon=0.1)),
    "mle": Run(1, RANK, ObjectiveOptions("wta")),
    "mle-wide": Run(1, HYPOTHESES * RANK, ObjectiveOptions("wta")),
}


def train_adapters(
    name: str,
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
) -> None:
    """Train run ``name`` on a frozen base, or go on with it; adapters land in ``folder`` as PEFT folders 0, 1, ..."""
    run = RUNS[name]
    stack = AdapterStack.attach(media.model, run.specs())
    gate = None
    if run.objective.needs_gate:
        gate = CaptionGate(len(media.tokenizer), run.hypotheses, excluded_token_ids=media.tokenizer.all_special_ids)
    trainer = MultipleChoiceTrainer(
        MultipleChoiceLearner(media.model, stack, run.objective, gate),
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
        prompts_of=prompts_of,
    )
    started = time.perf_counter()
    trainer.train_or_resume()
    for k, adapter in enumerate(stack.names):
        stack.save(adapter, folder / str(k), media.medium)
    if gate is not None:
        gate.save(folder / "gate")
    write_summary(
        folder / "summary.json",
        trainer,
        time.perf_counter() - started,
        run=name,
        hypotheses=run.hypotheses,
        rank=run.rank,
    )
