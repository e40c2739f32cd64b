"""Train the embedded base: projector and language model, all annotators mixed, tower frozen.

    python -m training.image.base

A run that was cut short goes on from its last checkpoint. The model lands in ``build/image/base/``.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

from training.captions import caption_nll
from training.image.align import ALIGNED_DIR
from training.image.batches import Batch, VisitCollator, encode_prompts, load_for_training
from training.image.build_base import save_half
from training.image.stream import open_stream
from training.learner import Learner, LearnerTrainer, run_parser, training_arguments, write_summary
from training.packages import BUILD_DIR

BASE_DIR = BUILD_DIR / "image" / "base"
CHECKPOINTS_DIR = BUILD_DIR / "image" / "base-checkpoints"
FEATURE_DROPOUT = 0.3
"""Share of tower channels hidden in each batch: the drawings are few, and this keeps them from being memorised."""


class BaseLearner(Learner):
    """Everything but the vision tower trains, on one caption a visit."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        model.requires_grad_(True)
        model.model.vision_tower.requires_grad_(False)

    def forward(self, **batch: Any) -> Tensor:
        features = [nn.functional.dropout(one, FEATURE_DROPOUT, self.training) for one in batch["features"]]
        prompts = encode_prompts(self.model, batch | {"features": features})
        return caption_nll(self.model, prompts, batch["captions"]).mean()


class BaseTrainer(LearnerTrainer):
    def compute_loss(self, model: nn.Module, inputs: Batch, *args: Any, **kwargs: Any) -> Tensor:
        return model(**inputs)


def train(*, steps: int, batch_size: int, learning_rate: float, seed: int) -> None:
    torch.manual_seed(seed)
    media = load_for_training(ALIGNED_DIR)
    trainer = BaseTrainer(
        BaseLearner(media.model),
        training_arguments(
            CHECKPOINTS_DIR,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=0.05,
            warmup=0.03,
            seed=seed,
        ),
        train_dataset=open_stream(media, steps * batch_size, seed, simulated_share=0.17, photograph_share=0.06),
        data_collator=VisitCollator(media),
    )
    started = time.perf_counter()
    trainer.train_or_resume()
    save_half(media.model, media.processor, BASE_DIR)
    write_summary(BASE_DIR / "training.json", trainer, time.perf_counter() - started)


def main() -> None:
    options = run_parser(__doc__, steps=3200, batch_size=48, learning_rate=1.5e-3).parse_args()
    train(**vars(options))


if __name__ == "__main__":
    main()
