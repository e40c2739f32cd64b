"""Train adapters on the frozen embedded base: LoRA-MCL with any assignment, or LoRA-MLE (one hypothesis).

    python -m training.image.adapters --run caption-gate
    python -m training.image.adapters --run relaxed
    python -m training.image.adapters --run mle
    python -m training.image.adapters --run mle-wide

All runs see the same pictures and captions in the same order and take the same number of steps. A run that was
cut short goes on from its last checkpoint. The adapters land in ``build/image/adapters/<run>/<k>/`` as standard
PEFT folders.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from lora_mcl.adapters import AdapterSpec, AdapterStack
from lora_mcl.gate import CaptionGate
from lora_mcl.models.llava_next import ImageLanguageModel
from lora_mcl.objectives import ObjectiveOptions
from training.image.base import BASE_DIR
from training.image.batches import VisitCollator, encode_prompts
from training.image.stream import open_stream
from training.learner import run_parser, training_arguments, write_summary
from training.mcl import MultipleChoiceLearner, MultipleChoiceTrainer
from training.packages import BUILD_DIR

ADAPTERS_DIR = BUILD_DIR / "image" / "adapters"
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


def train(name: str, *, steps: int, batch_size: int, learning_rate: float, seed: int) -> None:
    run, folder = RUNS[name], ADAPTERS_DIR / name
    torch.manual_seed(seed)
    media = ImageLanguageModel.load(BASE_DIR)
    stack = AdapterStack.attach(media.model, run.specs())
    gate = None
    if run.objective.needs_gate:
        special = media.tokenizer.all_special_ids
        gate = CaptionGate(len(media.tokenizer), run.hypotheses, excluded_token_ids=special)
    learner = MultipleChoiceLearner(media.model, stack, run.objective, gate)
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
        train_dataset=open_stream(media, steps * batch_size, seed + 1, simulated_share=0.1, photograph_share=0.0),
        data_collator=VisitCollator(media),
        prompts_of=lambda batch: encode_prompts(media.model, batch),
    )
    started = time.perf_counter()
    trainer.train_or_resume()
    for k, adapter in enumerate(stack.names):
        stack.save(adapter, folder / str(k), "image")
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


def main() -> None:
    parser = run_parser(__doc__, steps=400, batch_size=24, learning_rate=1e-3)
    parser.add_argument("--run", dest="name", choices=sorted(RUNS), required=True)
    train(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
